"""Predictions against runs: synthetic sweeps from a known surface, an alternative that loses."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.__main__ import COMMAND, analyse, fitted
from analysis.config import AnalysisConfig
from analysis.data.loss_table import TableError
from analysis.sections.validation import conclusion, printed, slice_figure, validations
from analysis.studies.validation import TrainedCell, difference, scores
from analysis.studies.validation_runs import to_fit, trials
from eval.evals_table import upgraded_frame
from tests.support.synthetic_sweep import NOISE, TRUTH, record, shape
from train.commands.command_line import translate
from train.config.cli import load_config
from train.config.flops import count_params, flops_per_token

BUDGET = 1.28e13
WIDTHS = {"optimum": 96, "alternative": 208}
SEEDS = (0, 1, 2)


def write_trial(directory: Path, fitted: Path, noise: float = NOISE, only: tuple = ()) -> Path:
    """A test of the synthetic sweep's fit: runs on the same surface at four times its budget."""
    rng = np.random.default_rng(3)
    rows, predicted = [], {}
    for name, width in WIDTHS.items():
        model = shape(width)
        n_tokens = round(BUDGET / flops_per_token(model) / 2048) * 2048
        n_params = count_params(model).n_params
        predicted[name] = {"name": name, "n_params": 1.1 * n_params, "n_tokens": n_tokens}
        for seed in SEEDS if not only or name in only else ():
            loss = float(TRUTH.loss(n_params, n_tokens) * np.exp(rng.normal(0, noise)))
            rows.append(record(model, n_tokens, loss, budget=BUDGET, name=f"{name}-s{seed}",
                               seed=seed, grid=name))  # fmt: skip
    extra = record(shape(32), 10**6, 2.5, budget=2e11, name="stray", grid="optimum")
    content = {
        "fit": str(fitted / "analysis" / "fits.json"),
        "sweeps": [str(fitted)],
        "approach": "isoflop",
        "flops": BUDGET,
        "fitted": [2e11, 3.2e12],
        **predicted,
    }
    directory.mkdir(parents=True)
    (directory / "validation.json").write_text(json.dumps(content))
    frame = pd.DataFrame([dataclasses.asdict(row) for row in [*rows, extra]])
    frame.drop(columns=["losses", "epochs"]).to_parquet(directory / "runs.parquet")
    return directory


def config(*overrides: str) -> AnalysisConfig:
    return load_config("analysis", translate(COMMAND, overrides).overrides, AnalysisConfig)


@pytest.fixture(scope="module")
def tested(sweep_dir, tmp_path_factory):
    """The report of a test by the front door, as validation.json says it."""
    root = tmp_path_factory.mktemp("results")
    trial = write_trial(root / "test", sweep_dir)
    page = analyse(config(f"sweep={trial}", "fit.n_resamples=200"), "command")
    return page, json.loads((trial / "analysis" / "validation.json").read_text())[0]


def test_the_fit_is_of_the_fitted_sweep_and_none_of_the_test_runs(tested, sweep_dir):
    page, _ = tested
    fits = json.loads((page.parent / "fits.json").read_text())
    assert fits["sources"] == [str(sweep_dir)]
    assert fits["fitted"]["flops"][1] < 4e12


def test_forecasts_at_the_trained_sizes_meet_the_losses_of_the_same_surface(tested):
    _, made = tested
    surfaces = [f for f in made["forecasts"] if f["law"] == "parametric"]
    assert [f["cell"] for f in surfaces] == ["optimum", "alternative"]
    for forecast in surfaces:
        assert forecast["loss"] == pytest.approx(forecast["measured"], rel=0.02)
        low, high = forecast["interval"]
        assert low < forecast["loss"] < high
    assert any(f["law"] == "isoflop" for f in made["forecasts"])


def test_the_better_allocation_wins_by_the_surfaces_own_gap(tested):
    _, made = tested
    n_tokens = [round(BUDGET / flops_per_token(shape(w)) / 2048) * 2048 for w in WIDTHS.values()]
    sizes = [count_params(shape(w)).n_params for w in WIDTHS.values()]
    truth = [float(TRUTH.loss(n, d)) for n, d in zip(sizes, n_tokens, strict=True)]
    assert made["gap"]["value"] == pytest.approx(truth[1] - truth[0], abs=4 * NOISE)
    assert made["winner"] == ("optimum" if truth[1] > truth[0] else "alternative")
    assert made["conclusion"].startswith("At 1.28e13 FLOPs, 4 times the largest fitted run")


def test_runs_of_neither_allocation_are_named(tested):
    _, made = tested
    assert sum("neither allocation" in note for note in made["notes"]) == 1


def test_an_optimum_that_the_fit_no_longer_predicts_is_reported(tested):
    # The synthetic validation.json names 1.1 times the trained size, not what the fit says.
    _, made = tested
    assert any("was predicted as" in note for note in made["notes"])


def test_the_report_shows_the_section_and_its_figure(tested):
    page, _ = tested
    assert "Prediction put to the test" in page.read_text()
    assert (page.parent / "figures" / "validation.png").exists()


def test_the_fitted_sweep_may_be_given_beside_the_test(sweep_dir, tmp_path):
    trial = write_trial(tmp_path / "test", sweep_dir)
    assert to_fit([trial]) == [sweep_dir]
    assert to_fit([tmp_path / "other", trial]) == [tmp_path / "other"]
    assert to_fit([sweep_dir]) == [sweep_dir]


def test_one_allocation_alone_is_no_test(sweep_dir, tmp_path):
    trial = write_trial(tmp_path / "test", sweep_dir, only=("optimum",))
    with pytest.raises(TableError, match="alternative has no finished run"):
        trials([trial], "exact")


def test_each_alternative_that_has_a_run_is_held_against_the_optimum(sweep_dir, tmp_path):
    trial = write_trial(tmp_path / "test", sweep_dir)
    path = trial / "validation.json"
    content = json.loads(path.read_text())
    small = {"name": "alternative-x0.25", "n_params": 1e4, "n_tokens": 1e8}
    more = [{**content["alternative"], "name": "alternative-x4"}, small]
    path.write_text(json.dumps({**content, "alternative": small, "more": more[:1]}))
    (made,) = trials([trial], "exact")
    assert [cell.name for cell in made.cells] == ["optimum", "alternative-x4"]
    assert "alternative-x0.25 has no finished run yet and is not compared" in made.notes
    path.write_text(json.dumps({**content, "more": more[:1]}))
    assert [t.cells[1].name for t in trials([trial], "exact")] == ["alternative", "alternative-x4"]


def test_the_difference_is_welchs():
    optimum, alternative = np.array([1.5, 1.52, 1.49]), np.array([1.6, 1.7])
    made = difference(optimum, alternative)
    wanted = stats.ttest_ind(alternative, optimum, equal_var=False).confidence_interval(0.95)
    assert made.value == pytest.approx(alternative.mean() - optimum.mean())
    assert made.interval == pytest.approx((wanted.low, wanted.high))


def test_one_seed_has_a_difference_and_no_interval():
    made = difference(np.array([1.5]), np.array([1.6]))
    assert made.value == pytest.approx(0.1)
    assert np.isnan(made.interval[0])
    assert made.sign == 0


def cell(name: str, *run_ids: str) -> TrainedCell:
    return TrainedCell(name, 1e5, 1e6, 1e12, run_ids, np.ones(len(run_ids)))


def test_each_metric_is_judged_in_its_own_direction():
    rows = [
        {"run_id": run, "step": step, "task": "copy", "format": "plain", "n_shots": 0,
         "split": "heldout", "target_length": None, "metric": metric, "value": value}
        for metric, values in {
            "exact_match": {"o1": 0.9, "o2": 0.91, "r1": 0.1, "r2": 0.12},
            "token_edit_distance": {"o1": 0.1, "o2": 0.11, "r1": 2.0, "r2": 2.1},
            "token_accuracy_1": {"o1": 0.9, "o2": 0.91, "r1": 0.1, "r2": 0.12},
            "lonely": {"o1": 0.9},
        }.items()
        for run, value in values.items()
        for step in (10, 20)
    ]  # fmt: skip
    for row in rows:
        row["value"] += 5 * (row["step"] == 10)  # an earlier checkpoint does not count
    found = scores(
        upgraded_frame(pd.DataFrame(rows)),
        (cell("optimum", "o1", "o2"), cell("alternative", "r1", "r2")),
    )
    assert [(s.metric, s.winner) for s in found] == [
        ("exact_match", "optimum"),
        ("token_edit_distance", "optimum"),
    ]
    assert found[0].optimum == pytest.approx(0.905)


def test_a_prediction_without_an_interval_says_so(sweep_dir, tmp_path):
    trial = write_trial(tmp_path / "test", sweep_dir)
    asked = config(f"sweep={trial}", "fit.n_resamples=0", "fit.approaches=[parametric,isoflop]")
    _, study, _ = fitted(asked)
    (made,) = validations(study, asked.sweeps, asked.counting)
    lines = printed(made)
    assert lines[0] == conclusion(made)
    parametric = [line for line in lines if line.startswith("parametric")]
    assert parametric
    assert all("(no interval)" in line for line in parametric)
    assert not any("nan" in line for line in lines)


def test_a_fit_of_bits_per_byte_is_tested_on_bits_per_byte(sweep_dir, tmp_path):
    """The synthetic bytes' bits are their nats over ln 2, so every prediction is, too."""
    trial = write_trial(tmp_path / "test", sweep_dir)
    made = {}
    for column in ("loss", "bits_per_byte"):
        asked = config(f"sweep={trial}", "fit.n_resamples=0", f"fit.loss={column}",
                       "fit.approaches=[parametric]")  # fmt: skip
        _, study, _ = fitted(asked)
        (made[column],) = validations(study, asked.sweeps, asked.counting)
    nats, bits = made["loss"], made["bits_per_byte"]
    assert bits.cells[0].mean == pytest.approx(nats.cells[0].mean / np.log(2))
    assert [f.error for f in bits.forecasts] == pytest.approx(
        [f.error for f in nats.forecasts], abs=1e-3
    )
    assert "nats/token" in conclusion(nats)
    assert "bits/byte" in conclusion(bits) and "nats" not in conclusion(bits)
    axes = slice_figure(study, bits).axes[0]
    assert axes.get_ylabel() == "validation loss (bits/byte)"


def test_without_evaluations_there_are_no_scores():
    assert scores(pd.DataFrame(), (cell("optimum", "a"), cell("alternative", "b"))) == ()
