"""Abilities in two steps: a published ladder, evaluations of one's own, and refusals."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.data.readers import from_frame, read_file
from analysis.data.table_error import TableError
from analysis.predict import COMMAND
from analysis.studies.ability.points import AbilityPoints, ability_points, chosen
from analysis.studies.ability.two_steps import fit_two_steps, predict_ability
from analysis.studies.fit_config import FitConfig
from analysis.studies.questions.prediction import Point
from tests.support.published import published_file
from train.commands.command_line import run_command

CONFIG = FitConfig(n_resamples=100)


def ladder(noise: float = 0.005, n_tokens: float | None = None) -> AbilityPoints:
    rng = np.random.default_rng(0)
    n, d = (x.ravel() for x in np.meshgrid(np.geomspace(1e8, 3e9, 5), np.geomspace(2e9, 2e11, 5)))
    d = d if n_tokens is None else np.full(len(n), n_tokens)
    loss = (0.5 + 30 / n**0.25 + 60 / d**0.22) * np.exp(noise * rng.normal(size=len(n)))
    right = np.clip(accuracy(loss) + noise * rng.normal(size=len(n)), 0, 1)
    return AbilityPoints("task", "bpb", "accuracy", n, d, loss, right, np.arange(len(n)))


def accuracy(loss: np.ndarray) -> np.ndarray:
    return 0.25 + 0.7 / (1 + np.exp(6 * (loss - 1.1)))


def test_the_truth_lies_in_the_intervals_and_a_run_varies_more():
    made = fit_two_steps(ladder(), CONFIG)
    found = predict_ability(made, Point(1e10, 1e12), measured=0.9)
    loss = 0.5 + 30 / 1e10**0.25 + 60 / 1e12**0.22
    assert found.loss_interval[0] < loss < found.loss_interval[1]
    assert found.confidence[0] < accuracy(np.array(loss)) < found.confidence[1]
    assert np.ptp(found.run) > np.ptp(found.confidence)
    assert found.beyond == pytest.approx({"N": 1e10 / 3e9, "D": 5})
    assert found.error == pytest.approx(found.accuracy / 0.9 - 1)


def test_one_token_count_gives_a_law_in_size_for_that_count_alone():
    made = fit_two_steps(ladder(n_tokens=1e10), CONFIG)
    found = predict_ability(made, Point(1e10, 1e10))
    truth = float(accuracy(np.array(0.5 + 30 / 1e10**0.25 + 60 / 1e10**0.22)))
    assert found.accuracy == pytest.approx(truth, abs=0.05) and found.confidence[0] < truth
    other = predict_ability(made, Point(1e10, 1e11))
    assert np.isnan(other.accuracy) and "train at two more token counts" in other.reason


def test_scattered_losses_and_flat_accuracies_have_no_prediction():
    made = fit_two_steps(ladder(noise=0.2), CONFIG)
    assert made.reason.startswith("no law of the loss: ")
    assert np.isnan(predict_ability(made, Point(1e10, 1e12)).accuracy)
    flat = ladder()
    flat = AbilityPoints(**{**vars(flat), "accuracy": np.full(25, 0.25)})
    assert "accuracies do not rise as losses fall" in fit_two_steps(flat, CONFIG).reason


@pytest.mark.parametrize(
    ("task", "error", "published"),
    [
        ("hellaswag_val", 0.004, 0.025),
        ("arc_easy_test", -0.072, 0.114),
        ("piqa_val", -0.004, 0.011),
        ("csqa_val", -0.023, 0.047),
        # 2.7 % in the paper, of a mean of checkpoints: see the next test.
        ("socialiqa_val", -0.079, 0.08),
    ],
)
def test_the_olmo_ladder_predicts_13b_5t(task, error, published):
    points, target = olmo_ladder(task, lambda name: True)
    assert len(points) == 30
    point = Point(float(target.n_params), float(target.n_tokens))
    made = fit_two_steps(points, FitConfig(n_resamples=0))
    found = predict_ability(made, point, measured=float(target[f"{task}_accuracy"]))
    assert found.error == pytest.approx(error, abs=0.002) and abs(found.error) < published


PUBLISHED_SOCIALIQA = 0.5995, 0.6160
"""Predicted and measured at 13B-5T (Bhagia et al. 2024, figures/chained_main.csv)."""


def test_socialiqa_as_published_is_off_by_what_the_target_of_the_table_is():
    """Sixteen runs to 1.3B and (no loss, accuracy 1) give the paper's prediction; the paper's 2.7 %
    is of a mean over five checkpoints, .616, and the table's last one has .627.
    """
    points, target = olmo_ladder("socialiqa_val", of_the_paper)
    assert len(points) == 16
    made = fit_two_steps(points, FitConfig(n_resamples=0), "anchored")
    found = predict_ability(made, Point(float(target.n_params), float(target.n_tokens)))
    predicted, measured = PUBLISHED_SOCIALIQA
    assert found.accuracy == pytest.approx(predicted, abs=0.003)
    assert abs(found.accuracy / measured - 1) < 0.027
    assert float(target.socialiqa_val_accuracy) == pytest.approx(0.6269, abs=1e-4)
    assert abs(predicted / float(target.socialiqa_val_accuracy) - 1) > 0.04, "theirs, on this table"


def of_the_paper(name: str) -> bool:
    return not name.startswith("3B") and not name.endswith(("0.5xC", "rerun"))


def olmo_ladder(task: str, kept: Callable[[str], bool]) -> tuple[AbilityPoints, Any]:
    """The ladder's runs of some names, and the row of 13B-5T."""
    every = read_file(published_file("olmo_ladder_final.csv"))
    names = every.texts("run").astype(str)
    out = np.array(["xC" not in name or not kept(name) for name in names])
    target = every.runs.iloc[int(np.flatnonzero(names == "13B-5T")[0])]
    return ability_points(every.without(out, "a target"), pd.DataFrame())[task], target


def evals() -> pd.DataFrame:
    """Two ways of asking one task, one row per metric, with rows of single lengths beside."""
    own, rows = ladder(), []
    for i in range(len(own)):
        run = {"run_id": f"r{i}", "step": 1, "n_params": own.n_params[i], "task": "t",
               "n_tokens": own.n_tokens[i], "split": "heldout", "operands": ""}  # fmt: skip
        for form in ("plain", "reversed"):
            for metric, value in (("token_nll", own.loss[i]), ("exact_match", own.accuracy[i])):
                row = {**run, "format": form, "metric": metric, "value": value}
                rows += [row | {"target_length": np.nan, "chance": 0.25},
                         row | {"target_length": 3.0, "value": 0.9}]  # fmt: skip
    return pd.DataFrame(rows)


def test_evaluations_pair_a_loss_with_an_accuracy_for_each_way_of_asking():
    table = read_points_table()
    found = ability_points(table, evals())
    assert list(found) == ["t, plain", "t, reversed"]
    points = found["t, plain"]
    assert len(points) == 25 and points.chance == 0.25
    assert points.accuracy == pytest.approx(accuracy(points.loss), abs=0.02)
    with pytest.raises(TableError, match=r"ability.tasks has u; there are t, plain"):
        chosen(found, ["u"])
    with pytest.raises(TableError, match="no ability to predict"):
        chosen(ability_points(table, pd.DataFrame()), ["all"])


def read_points_table():
    return from_frame(pd.DataFrame({"n_params": [1e8], "n_tokens": [1e9], "loss": [3.0]}), "made")


def test_the_command_line_predicts_and_writes(tmp_path, capsys):
    own = ladder()
    frame = pd.DataFrame({
        "n_params": own.n_params, "n_tokens": own.n_tokens, "loss": 2 * own.loss + 1,
        "sums_bpb": own.loss, "sums_accuracy": own.accuracy,
    })  # fmt: skip
    frame.to_csv(tmp_path / "runs.csv", index=False)
    words = [str(tmp_path / "runs.csv"), "n_params=1e10", "n_tokens=1e12", "ability.tasks=[all]",
             "ability.chance={sums: 0.25}", "fit.n_resamples=100", "fit.approaches=[parametric]",
             f"out={tmp_path / 'out'}"]  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        run_command(COMMAND, words, "isoflop predict")
    assert stopped.value.code == 0
    assert "10B on 1T tokens, sums: loss " in capsys.readouterr().out
    found = json.loads((tmp_path / "out/fits.json").read_text())["abilities"]
    assert found["steps"]["sums"]["second"]["bottom"] == 0.25
    assert found["predictions"][0]["confidence"][0] < found["predictions"][0]["accuracy"]
    assert "Abilities, in two steps" in (tmp_path / "out/report.html").read_text()
