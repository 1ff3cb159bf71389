import importlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import backends, coverage_profiles, metronome, study, study_figure, train_step
from benchmarks.figures import Figure, parse, read, report, table
from tests.support import stepping
from train.rundir.atomic import read_json

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("figure", "outcome"),
    [
        (Figure("speed", 1.2, "x", at_least=1.1), "met"),
        (Figure("speed", 1.0, "x", at_least=1.1), "MISSED"),
        (Figure("time", 0.2, "s", at_most=0.1), "MISSED"),
        (Figure("time", 0.1, "s", at_most=0.1), "met"),
        (Figure("speed", None, "x", at_least=1.1), "not measured"),
        (Figure("speed", 3.0, "k tokens/s"), ""),
    ],
)
def test_a_figure_is_judged_by_its_goal(figure: Figure, outcome: str):
    assert figure.outcome == outcome
    assert outcome in table([figure])


def test_a_missed_figure_fails_the_report_and_an_absent_or_met_one_does_not(tmp_path: Path, capsys):
    path = tmp_path / "figures.json"
    met, missed = Figure("a", 2.0, at_least=1), Figure("b", 0.5, at_least=1)
    absent = Figure("c", None, at_least=1, note="no such package")
    assert report([met], {}) == 0
    assert report([met, absent], {}) == 0
    assert report([met, missed], {"json": str(path)}) == 1
    assert read(path) == [met, missed]
    assert "no such package" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["evaluation", "fits", "loops", "scaling", "sweep", "train_step"])
def test_what_a_benchmark_measures_is_still_there(name: str):
    """Nothing else imports these modules, so a renamed function would go unnoticed."""
    importlib.import_module(f"benchmarks.{name}")


def test_a_step_is_compared_with_the_faster_of_the_others_and_an_absent_one_is_no_miss():
    speeds = {"harness": [2.0, 3.0], "best": [4.0, 6.0], "bare": [2.0, 3.0], "trainer": [1.6, 2.4]}
    found = {one.what: one for one in train_step.compared(64, speeds, takes_bf16=True)}
    loops = found["d64 harness / transformers or bare"]
    assert (loops.value, loops.outcome) == (1.0, "met")
    assert loops.note == "transformers did not run"
    among = found["d64 best / trainer or litgpt"]
    assert (among.value, among.outcome, among.note) == (None, "not measured", "litgpt did not run")
    speeds |= {"litgpt": [4.0, 6.0], "auto": [6.0, 9.0]}
    found = {one.what: one for one in train_step.compared(128, speeds, takes_bf16=True)}
    assert found["d128 best / trainer or litgpt"].value == 1.0
    assert found["d128 auto / trainer or litgpt"].outcome == "MISSED"  # 1.5 of 1.6
    plain = {one.what for one in train_step.compared(128, speeds, takes_bf16=False)}
    assert plain == set(found) - {"d128 auto / trainer or litgpt"}
    tiny = train_step.compared(16, {"harness": [1.0]}, takes_bf16=False)
    assert [one.outcome for one in tiny] == ["", "not measured", "not measured"]


def test_an_unknown_setting_ends_the_benchmark():
    with pytest.raises(
        SystemExit, match="rounds=3 is unknown; expected key=value with sizes, json"
    ):
        parse(["rounds=3"], None, ("sizes",))


def test_the_optimum_of_a_surface_is_found_where_a_closed_form_has_it():
    true = coverage_profiles.truth(coverage_profiles.BESIROGLU.loss, 3)
    best = coverage_profiles.BESIROGLU.optimal(true.flops)
    assert true.log_n == pytest.approx(np.log(best.n_params), abs=1e-4)
    assert true.log_loss == pytest.approx(np.log(best.loss), abs=1e-9)


def test_coverage_of_profiles_counts_intervals_that_hold_the_truth(monkeypatch):
    loss = coverage_profiles.BESIROGLU.loss
    monkeypatch.setattr(coverage_profiles, "ADDITIVE", {"one": loss})
    monkeypatch.setattr(coverage_profiles, "MISFIT", {})
    grid = coverage_profiles.Grid(3, 6, 16)
    first, second = coverage_profiles.cells(8, (grid,))
    assert (first.noise, second.noise) == coverage_profiles.NOISES
    assert first.coverage["softened", "a"] >= 0.75
    assert second.width["softened", "a"] > first.width["softened", "a"]
    lines = coverage_profiles.table([first, second])
    assert lines[2].startswith("| additive | 3 x 6 over 16 | 0.004 |")
    held = coverage_profiles._held((1.0, 2.0), 2.5)
    assert held == (0.0, 1.0)


def study_content() -> dict:
    cells = [
        {"name": f"1e13 {cell}", "budget": 1e13, "cell": cell, "n_params": size, "n_tokens": tokens,
         "run_id": run_id}
        for cell, size, tokens, run_id in (("optimum", 100, 900, "a"), ("larger", 400, 200, "b"))
    ]  # fmt: skip
    by_runs = [
        {"approach": "parametric", "loss": loss, "prediction": [loss - 0.1, loss + 0.1],
         "point": {"n_params": cell["n_params"], "n_tokens": cell["n_tokens"]}}
        for loss, cell in zip((1.5, 1.7), cells, strict=True)
    ]  # fmt: skip
    best = [
        {"approach": "isoflop", "flops": budget, "loss": loss, "loss_interval": [None, None]}
        for budget, loss in ((1e13, 1.4), (3e13, 1.3))
    ]
    return {"cells": cells, "of_runs": by_runs, "of_the_best": best}


def test_the_studys_table_says_what_was_predicted_measured_and_held(tmp_path: Path):
    path = tmp_path / "study-prediction.json"
    path.write_text(json.dumps(study_content()))
    optimum, best, alternative = study.report(path, {"a": 1.65}).splitlines()[2:]
    assert optimum.endswith("1.6500 | parametric | 1.5000 | 1.4000 to 1.6000 | -9.53 % | no |")
    assert best.endswith("| isoflop, best of the budget | 1.4000 | – | -16.43 % | – |")
    assert "not yet trained | parametric | 1.7000" in alternative
    (*_, alternative) = study.report(path, {"a": 1.65, "b": "diverged"}).splitlines()
    assert "diverged | parametric | 1.7000 | 1.6000 to 1.8000 | – | – |" in alternative


def test_only_finished_runs_of_the_study_have_a_loss(tmp_path: Path):
    for run_id, status, loss in (("a", "finished", 1.5), ("b", "diverged", None)):
        run = tmp_path / "study-1e13" / "runs" / run_id
        run.mkdir(parents=True)
        content = {"run_id": run_id, "status": status, "loss": loss}
        (run / "record.json").write_text(json.dumps(content))
    assert study.measured(tmp_path, ("1e13", "3e13")) == {"a": 1.5, "b": "diverged"}


def test_a_prediction_of_the_study_stands_once_a_run_has_begun(tmp_path: Path, monkeypatch):
    path = tmp_path / "study-prediction.json"
    path.write_text(json.dumps(study_content()))
    (tmp_path / "study-1e13" / "runs" / "optimum").mkdir(parents=True)
    (tmp_path / "study-1e13" / "runs" / "optimum" / "metrics.jsonl").write_text("{}")
    monkeypatch.setattr(study, "isoflop", lambda *_, **__: pytest.fail("predicted again"))
    before = path.read_bytes()
    assert study.predict(tmp_path, ("1e13",)) == path
    assert path.read_bytes() == before
    path.unlink()
    with pytest.raises(SystemExit, match=r"is missing, but runs of 1e13 have begun"):
        study.predict(tmp_path, ("3e13",))


def test_rounding_is_told_beside_the_spread_of_seeds(tmp_path: Path):
    one = pd.DataFrame(
        {"run_id": list("abcd"), "status": ["finished"] * 3 + ["diverged"],
         "loss": [2.0, 2.02, 3.0, 9.0], "n_params": [10, 10, 20, 20], "n_tokens": 5}
    )  # fmt: skip
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one.to_parquet(tmp_path / "one" / "runs.parquet")
    other = one.assign(loss=[2.002, 2.02, 3.0, 1.0])[:3]
    other.to_parquet(tmp_path / "other" / "runs.parquet")
    runs = [backends.finished(tmp_path / name) for name in ("one", "other")]
    found = {figure.what: figure.value for figure in backends.figures_of(*runs)}
    assert found["runs that both have"] == 3 and found["runs whose loss differs"] == 1
    shift = 100 * np.log(1.001)
    assert found["largest difference of a run"] == pytest.approx(shift)
    assert found["rms difference of a run"] == pytest.approx(shift / np.sqrt(3))
    assert found["rms difference of two seeds"] == pytest.approx(100 * np.log(1.01))
    with pytest.raises(SystemExit, match="share no finished run"):
        backends.figures_of(runs[0], runs[1].head(0))
    with pytest.raises(SystemExit, match=r"none/runs.parquet is missing"):
        backends.finished(tmp_path / "none")


def test_the_studys_figure_shows_what_was_measured_and_every_prediction(tmp_path: Path):
    content = read_json(ROOT / "docs" / "study" / "prediction-1.json")
    run_id = next(cell["run_id"] for cell in content["cells"] if cell["name"] == "3e13 optimum")
    losses = {run_id: 1.2361, "another": 9.0, content["cells"][0]["run_id"]: "diverged"}
    _, (left, right) = study_figure.new_figure(2)
    study_figure.losses_panel(left, content, losses)
    study_figure.errors_panel(right, content, losses)
    points = [line for line in left.lines if np.size(line.get_ydata()) == 1]
    filled = [line for line in points if line.get_markerfacecolor() != "white"]
    assert [np.asarray(line.get_ydata()).item() for line in filled] == [1.2361]
    assert len(points) == len(content["cells"]) + 1
    drawn = [np.asarray(line.get_ydata()) for line in right.lines]
    errors = [float(one.item()) for one in drawn if one.size == 1]
    assert len(errors) == 4 and min(abs(error) for error in errors) == pytest.approx(0.49, abs=0.01)
    study_figure.draw(ROOT / "docs" / "study" / "prediction-1.json", losses, tmp_path / "s.svg")
    assert (tmp_path / "s.svg").stat().st_size > 1000


def test_a_forked_contender_beats_until_it_is_closed_and_tells_why_it_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(metronome, "PRELOADED", [])
    running = metronome.Forked(stepping.steps, {"every": 3}, tmp_path / "steps.log")
    running.ready()
    assert 0 <= running.round() < 10
    running.close()
    assert not running.process.is_alive()
    failing = metronome.Forked(stepping.fails, {"every": 3, "what": "this"}, tmp_path / "log")
    with pytest.raises(RuntimeError, match=r"(?s)ended early.*no loop for this"):
        failing.ready()
