import numpy as np
import pandas as pd
import pytest

from analysis.data.published.columns import (
    cs336,
    gemstone_flops_per_token,
    gemstones,
    hoffmann2022,
    obsscaling,
    renamed,
    schedules,
)
from analysis.data.published.download import digest
from analysis.data.published.registry import TABLES
from tests.support.published import published_table


def test_renaming_keeps_every_other_column_and_every_value():
    made = renamed(n_params="N", n_tokens="D")([pd.DataFrame({"N": [1.5], "D": [2], "lr": [3]})])
    assert made.to_dict("records") == [{"n_params": 1.5, "n_tokens": 2, "lr": 3}]


def test_pixels_and_colours_of_a_digitised_figure_are_left_out():
    row = {"x": 1, "color": "#fff", "Model Size": 5e9, "Training FLOP": 6e20, "loss": 2.0}
    assert hoffmann2022([pd.DataFrame([row])]).to_dict("records") == [
        {"n_params": 5e9, "flops": 6e20, "loss": 2.0}
    ]


def test_flops_of_a_gemstone_are_those_of_its_layers():
    """By hand, forward times three, of a transformer of one layer, one head of 128."""
    width, tokens, vocabulary = 128, 2048, 50304
    products = 4 * width**2 + 2 * width**2 + 3 * 2 * width * 4 * width
    elementwise = 3.5 * 1.5 * width + 40 * width + 2 * width + 14 * width
    scores = 3 * tokens * width + 3 * tokens * 1
    output = 7 * width + 2 * width * vocabulary
    by_hand = 3 * (products + elementwise + output) + 3.5 * scores
    flops = gemstone_flops_per_token(np.array([width]), np.array([1]))
    assert flops.item() == pytest.approx(by_hand, rel=1e-12)


def test_gemstones_leave_out_the_untrained_point():
    row = {"run_name": "a", "params_active_precise": 10, "width": 128, "depth": 1, "tokens": 5,
           "final_loss": 3.0}  # fmt: skip
    made = gemstones([pd.DataFrame([{**row, "step": 0}, {**row, "step": 1}])])
    assert list(made) == ["run", "n_params", "n_tokens", "flops", "loss"]
    assert len(made) == 1


def test_flops_that_are_budgets_are_both():
    made = cs336([pd.DataFrame({"parameters": [1], "compute_budget": [6e18], "final_loss": [2]})])
    assert made.to_dict("records") == [
        {"n_params": 1, "flops": 6e18, "loss": 2, "flops_budget": 6e18}
    ]


def test_scores_become_one_a_row_with_their_models_size():
    scores = pd.DataFrame({"Model": ["m", "n"], "sums_2d_2_exact_match": [0.5, None]})
    sizes = pd.DataFrame({"Model": ["n", "m"], "Model Family": ["n", "M"],
                          "Model Size (B)": [1.0, 7.0],
                          "Pretraining Data Size (T)": [1.0, 2.0],
                          "FLOPs (1E21)": [6.0, 84.0]})  # fmt: skip
    assert obsscaling([scores, sizes]).to_dict("records") == [
        {"model": "m", "task": "sums_2d", "metric": "exact_match", "value": 0.5, "n_shots": 2,
         "family": "M", "n_params": 7e9, "n_tokens": 2e12, "flops": 8.4e22}
    ]  # fmt: skip


def test_curves_are_joined_under_their_names():
    frames = [
        pd.DataFrame({"step": [1], "loss": [3.0]}),
        pd.DataFrame({"step": [2], "loss": [2.0]}),
    ]
    assert schedules("wsd", "cosine")(frames)["curve"].tolist() == ["wsd", "cosine"]


def test_the_original_of_the_digitised_figure_gives_the_recorded_rows():
    rows = pd.read_csv(published_table("hoffmann2022"))
    original = rows.rename(columns={"n_params": "Model Size", "flops": "Training FLOP"})
    original = original.assign(x=1.0, y=2.0, color="#faebdd", hex_color="#faebdd")
    assert digest(hoffmann2022([original])) == TABLES["hoffmann2022"].digest


def test_the_original_of_the_gemstones_gives_the_recorded_rows():
    rows = pd.read_csv(published_table("gemstones"))
    shape = rows["run"].str.extract(r"-(?P<width>[0-9]+)x(?P<depth>[0-9]+)_").astype(int)
    original = shape.assign(run_name=rows["run"], params_active_precise=rows["n_params"],
                            tokens=rows["n_tokens"], step=477, final_loss=rows["loss"])  # fmt: skip
    assert digest(gemstones([original])) == TABLES["gemstones"].digest
