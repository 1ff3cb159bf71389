"""Predicted ends in the status of a sweep, and runs that it stops early."""

import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest

from analysis.data.clean import only_finished
from analysis.data.loss_table import LossTable
from analysis.fits.curve_law.path import past_of
from analysis.studies.curves.in_progress import PredictedEnd
from benchmarks.coverage_ends import OWN
from sweeps.directory.run_state import RunState, read_state
from sweeps.manage.early_stop import (
    Alternative,
    alternatives,
    early_stopper,
    leave_word,
    to_stop,
)
from sweeps.manage.ends import Paced
from sweeps.manage.status import read_sweep, status_json, status_table
from tests.support.sweep_fixtures import expansion, grid, record_of
from train.commands.console import DataConsole
from train.config.spec import known
from train.rundir.lock import claim
from train.rundir.record import RunPaths, read_record, write_job, write_record

SIZES = dict(zip((16, 24, 32, 48, 64, 96), sorted(OWN.levels), strict=True))
RNG = np.random.default_rng(0)


def begin(root, run, share, bad=0.0):
    """A run's directory with its curve up to a share of its tokens."""
    spec = run.job.spec
    steps = np.unique(np.linspace(1, spec.n_steps, 250).astype(int))
    tokens = steps * float(spec.optim.batch_tokens)
    lr = np.array([spec.learning_rate(int(step) - 1) for step in steps])
    loss = OWN.loss(SIZES[spec.model.d_model], past_of(tokens, lr)) + bad
    run_dir = root / "runs" / run.dir_name
    write_job(run_dir, run.job)
    kept = tokens <= share * tokens[-1]
    noisy = loss * np.exp(RNG.normal(0, 0.01, len(loss)))
    columns = {"step": steps, "n_tokens": tokens, "train_loss": noisy, "lr": lr}
    rows = [{name: values[i].item() for name, values in columns.items()}
            for i in np.flatnonzero(kept)]  # fmt: skip
    RunPaths(run_dir).metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if share == 1:
        write_record(run_dir, record_of(run.job, loss=float(loss[-1])))
    return run_dir, float(loss[-1])


@pytest.fixture
def sweep(tmp_path):
    """Two finished budgets and one of which the largest model, a bad one, is half done."""
    runs = expansion(iso=grid(budgets=[1e12, 2e12, 4e12], d_models=list(SIZES))).runs
    plan = [{"status": "planned", "n_params": SIZES[r.job.spec.model.d_model], "run_id": r.run_id,
             "flops_budget": r.job.flops_budget, "grid": r.job.grid} for r in runs]  # fmt: skip
    (tmp_path / "plan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plan))
    worst = max(runs, key=lambda r: (r.job.flops_budget, r.n_params))
    for run in runs:
        if run is not worst:
            begin(tmp_path, run, 1.0)
    return tmp_path, *begin(tmp_path, worst, 0.5, bad=0.5)


def test_status_shows_where_a_run_will_end(sweep):
    root, run_dir, end = sweep
    assert not read_sweep(root).ends
    with claim(run_dir):
        state = read_sweep(root)
        found = next(iter(state.ends.values()))
        assert found.low < end < found.high < 1.05 * found.low
        out = StringIO()
        DataConsole(width=160, file=out).print(status_table(state))
        shown = out.getvalue()
        assert f"{found.loss:.4f} ({found.low:.4f} to {found.high:.4f})" in shown
        assert "predicted from finished runs' curves" in shown
        (written,) = json.loads(json.dumps(status_json(state)))["predicted_ends"].values()
        assert written == {"loss": found.loss, "low": found.low, "high": found.high, "reason": ""}


def test_without_finished_runs_status_says_why_there_is_no_end(tmp_path):
    runs = expansion(iso=grid(d_models=[16, 24])).runs
    run_dir, _ = begin(tmp_path, runs[0], 0.5)
    with claim(run_dir):
        out = StringIO()
        DataConsole(width=160, file=out).print(status_table(read_sweep(tmp_path)))
    assert "no predicted end of 1 runs: 0 runs of grid iso are finished" in out.getvalue()


def test_a_launch_leaves_word_to_the_run_that_all_alternatives_beat(sweep, monkeypatch):
    root, run_dir, _ = sweep
    monkeypatch.setattr("sweeps.manage.early_stop.WATCH_SECONDS", 0.0)
    with claim(run_dir):
        early_stopper(root, 0.6)()
        assert not RunPaths(run_dir).early_stop.exists(), "it has done half of its tokens"
        early_stopper(root, 0.4)()
    word = json.loads(RunPaths(run_dir).early_stop.read_text())
    assert "50% done), above its 2 alternatives" in word["reason"]
    assert 0 < word["low"] < word["high"]


def test_the_neighbours_of_the_best_go_on_however_bad():
    def run(name, place, low, share=0.0):
        return Alternative(name, "c", (place,), low, low + 0.1, share)

    ladder = [run("small", 1.0, 3.0, 0.5), run("best", 2.0, 2.0), run("good", 3.0, 2.2)]
    assert to_stop(ladder, 0.5) == {}, "nothing else shows that the optimum is not smaller"
    beyond = run("tiny", 0.0, 4.0, 0.5)
    assert list(to_stop([*ladder, beyond], 0.5)) == ["tiny"]
    assert to_stop([*ladder, beyond], 0.6) == {}
    assert to_stop([*ladder, replace(beyond, low=3.05)], 0.5) == {}, "intervals overlap"
    unknown = replace(ladder[2], low=np.nan, high=np.nan)
    assert to_stop([ladder[1], unknown, beyond], 0.5) == {}, "one alternative is too few"


def test_a_setting_of_zero_has_its_place_among_the_others(tmp_path):
    """A weight decay of 0 beside .1, at two rates; the worst of them by far is half done."""
    cells = [(decay, rate) for decay in (0.0, 0.1, 0.2) for rate in (1e-3, 1e-2)]
    rows = [
        {"run_id": f"{decay} {rate}", "grid": "g", "cell": "c",
         "settings": {"weight_decay": decay, "lr_peak": rate}}
        for decay, rate in cells
    ]  # fmt: skip
    (tmp_path / "plan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    losses = [2.3, 4.0, 2.1, 2.2, 2.0, 2.4]
    states = [RunState(tmp_path / row["run_id"], row["run_id"], "", "g", "finished", loss=loss)
              for row, loss in zip(rows, losses, strict=True)]  # fmt: skip
    states[1] = replace(states[1], status="running", loss=None, n_tokens=5, target_tokens=10)
    found = alternatives(tmp_path, states, {"0.0 0.01": PredictedEnd(4.0, 3.9, 4.1)})
    assert [run.place for run in found] == cells
    assert list(to_stop(found, 0.5)) == ["0.0 0.01"]


def test_a_run_that_was_stopped_shows_how_far_it_came(tmp_path):
    (run,) = expansion(iso=grid(budgets=[1e11], d_models=[16])).runs
    run_dir = tmp_path / "run"
    write_job(run_dir, run.job)
    whole = record_of(run.job, loss=3.0)
    n_tokens = known(run.job.spec.horizon.n_tokens, "horizon.n_tokens")
    write_record(run_dir, replace(whole, status="stopped", n_tokens=round(n_tokens / 2)))
    state = read_state(run_dir)
    assert state.done and state.fraction == pytest.approx(0.5, abs=1e-4)


def test_a_stopped_run_is_excluded_with_its_reason():
    import pandas as pd

    runs = pd.DataFrame({"run_id": ["a", "b"], "status": ["finished", "stopped"],
                         "message": ["", "predicted to end at 3"]})  # fmt: skip
    table = only_finished(LossTable(runs, pd.DataFrame()))
    assert [row.reason for row in table.excluded] == ["status stopped: predicted to end at 3"]


def test_a_word_is_left_once_and_calls_are_paced(tmp_path):
    run = Alternative("a", "g", (0.0,), 3.0, 3.1)
    for reason in ("first", "second"):
        leave_word(tmp_path, reason, run)
    assert json.loads((tmp_path / "early_stop.json").read_text())["reason"] == "first"
    calls = []
    for seconds in (3600.0, 0.0):
        Paced(lambda: calls.append(1), seconds)()
    assert len(calls) == 1
    assert read_record(tmp_path) is None
