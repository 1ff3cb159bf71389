"""Retry, cancel, clean."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from sweeps.manage.manage import cancel_local, clean, clear_the_way, retry_tasks, to_retry
from sweeps.manage.status import read_sweep
from tests.support.sweep_fixtures import make_sweep
from train.config.spec import IsoflopError, SpecError
from train.rundir.lock import LockOwner, claim, this_process
from train.rundir.record import append_status


@pytest.fixture
def dirs(tmp_path):
    """Four runs: finished, failed, oom, planned."""
    made = make_sweep(tmp_path, n_done=1)
    append_status(made[1], "failed", message="x")
    append_status(made[2], "oom")
    return made


def names(states):
    return [state.run_dir for state in states]


def test_retry_takes_what_went_wrong_or_the_statuses_named(tmp_path, dirs):
    assert names(to_retry(tmp_path, [])) == [dirs[1], dirs[2]]
    assert names(to_retry(tmp_path, ["oom"])) == [dirs[2]]
    assert names(to_retry(tmp_path, ["planned", "failed"])) == [dirs[1], dirs[3]]


@pytest.mark.parametrize("name", ["finished", "diverged", "lost", ""])
def test_retry_refuses_what_it_can_not_change(tmp_path, dirs, name):
    with pytest.raises(SpecError, match=f"status={name} can't be retried"):
        to_retry(tmp_path, [name])


def test_retry_sets_a_damaged_record_aside_and_breaks_dead_locks_alone(tmp_path, dirs):
    (dirs[0] / "record.json").write_text("{")
    dead = LockOwner("vm", 2**22, "ticks-1", None, "t")
    (dirs[1] / "lock").write_text(json.dumps(asdict(dead) | {"host": os.uname().nodename}))
    elsewhere = LockOwner("another-host", 1, "ticks-1", None, "t")
    (dirs[2] / "lock").write_text(json.dumps(asdict(elsewhere)))
    chosen = to_retry(tmp_path, [])
    assert names(chosen) == [dirs[0], dirs[1]]
    tasks = retry_tasks(chosen, {})
    assert [task.run_dir for task in tasks] == [dirs[0], dirs[1]]
    assert (dirs[1] / "lock").exists()
    clear_the_way(chosen)
    assert (dirs[0] / "record.json.damaged").exists()
    assert not (dirs[1] / "lock").exists()
    assert (dirs[2] / "lock").exists()


def test_a_retried_run_is_given_the_time_that_the_plan_gave_it(tmp_path, dirs):
    chosen = to_retry(tmp_path, [])
    [task, *others] = retry_tasks(chosen, {chosen[0].run_id: 90.0})
    assert task.seconds == 90.0
    assert [other.seconds for other in others] == [0.0] * len(others)


def test_a_dry_retry_prints_scaled_scripts_and_changes_nothing(tmp_path, dirs):
    (dirs[0] / "record.json").write_text("{")
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    slurm = ["launcher=slurm", "launcher.dry_run=true", "launcher.time_minutes=30"]
    command = [sys.executable, "-m", "sweeps", "retry", str(tmp_path), "status=oom"]
    answer = subprocess.run(
        [*command, "scale_time=2", *slurm],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "#SBATCH --time=60" in answer.stdout
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_cancel_asks_live_launches_of_this_host_and_names_the_others(tmp_path, dirs):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    stat = Path(f"/proc/{process.pid}/stat").read_text()
    started = f"ticks-{stat.rpartition(')')[2].split()[19]}"
    host = os.uname().nodename
    (tmp_path / "launchers").mkdir()
    for name, holder in {
        "here": LockOwner(host, process.pid, started, None, "launcher"),
        "dead": LockOwner(host, process.pid, "ticks-0", None, "launcher"),
        "away": LockOwner("another-host", 1, "x", None, "launcher"),
    }.items():
        (tmp_path / "launchers" / f"{name}.json").write_text(json.dumps(asdict(holder)))
    done = cancel_local(tmp_path)
    assert process.wait(10) == -signal.SIGTERM
    assert len(done.lines) == 1
    assert "another-host" in done.problems[0]
    assert not (tmp_path / "launchers" / "dead.json").exists()


def test_cancel_signals_no_process_that_has_the_pid_of_one_in_another_container(
    tmp_path, dirs, monkeypatch
):
    signalled = []
    monkeypatch.setattr(os, "kill", lambda *given: signalled.append(given))
    other = asdict(this_process("t")) | {"namespace": "pid:[1]"}
    (dirs[1] / "lock").write_text(json.dumps(other))
    (tmp_path / "launchers").mkdir()
    (tmp_path / "launchers" / "other.json").write_text(json.dumps(other))
    done = cancel_local(tmp_path)
    assert signalled == []
    assert "run isoflop sweep cancel there" in done.problems[0]


def test_clean_deletes_only_what_is_named_and_only_of_runs_that_are_done(tmp_path, dirs):
    for path in dirs:
        (path / "state" / "step-1").mkdir(parents=True)
        (path / "checkpoints" / "step-1").mkdir(parents=True)
    clean(tmp_path, ["state"])
    assert [(path / "state").exists() for path in dirs] == [False, True, True, True]
    assert all((path / "checkpoints").exists() for path in dirs)
    assert (dirs[0] / "record.json").exists()


def test_clean_deletes_a_run_by_name_unless_it_is_running(tmp_path, dirs):
    with claim(dirs[1]), pytest.raises(IsoflopError, match="cancel it first"):
        clean(tmp_path, [dirs[1].name])
    clean(tmp_path, [dirs[1].name])
    assert not dirs[1].exists()
    assert dirs[2].exists()


def test_a_name_of_several_runs_deletes_none_and_lists_their_ids(tmp_path):
    """Directories of earlier releases, whose names rounded to three digits."""
    dirs = make_sweep(tmp_path)
    for path in dirs[:2]:
        spec = json.loads((path / "spec.json").read_text())
        (path / "spec.json").write_text(json.dumps(spec | {"name": "same"}))
    with pytest.raises(SpecError, match=r"the name of 2 runs; give a run_id: ") as caught:
        clean(tmp_path, ["same"])
    ids = [path.name[-12:] for path in dirs]
    assert all(run_id in str(caught.value) for run_id in ids[:2])
    [line] = clean(tmp_path, [ids[0]]).lines
    assert line == f"deleted run {ids[0]} (same, planned): {dirs[0]}"
    assert [path.exists() for path in dirs] == [False, True, True, True]


def write_plan_of(root, dirs):
    rows = [{"status": "planned", "run_id": path.name[-12:]} for path in dirs]
    rows += [{"status": "dropped", "run_id": None}, {"status": "merged", "run_id": "x"}]
    (root / "plan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_runs_of_no_plan_are_deleted_by_that_word_alone_and_not_retried(tmp_path, dirs):
    write_plan_of(tmp_path, dirs[2:])
    assert names(to_retry(tmp_path, [])) == [dirs[2]]
    with claim(dirs[1]):
        done = clean(tmp_path, ["unplanned"])
    assert [line.split(": ")[1] for line in done.lines] == [str(dirs[0])]
    assert "cancel it first" in done.problems[0]
    clean(tmp_path, ["unplanned"])
    assert [path.exists() for path in dirs] == [False, False, True, True]


def test_without_a_plan_nothing_counts_as_unplanned(tmp_path, dirs):
    with pytest.raises(SpecError, match=r"no plan\.jsonl"):
        clean(tmp_path, ["unplanned"])


@pytest.mark.parametrize(
    ("only", "message"), [([], "only what is named"), (["x"], "names nothing")]
)
def test_clean_refuses_to_guess(tmp_path, dirs, only, message):
    with pytest.raises(SpecError, match=message):
        clean(tmp_path, only)


@pytest.mark.parametrize("lost", [1, 9, 60], ids=["its end", "nine bytes", "sixty bytes"])
def test_a_plan_with_a_torn_row_makes_no_run_of_another_grid(tmp_path, dirs, lost):
    write_plan_of(tmp_path, dirs)
    plan = tmp_path / "plan.jsonl"
    plan.write_bytes(plan.read_bytes()[:-lost])
    state = read_sweep(tmp_path)
    assert (len(state.runs), state.unplanned, state.plan_damaged) == (len(dirs), (), True)
    with pytest.raises(SpecError, match=r"no plan\.jsonl that can be read"):
        clean(tmp_path, ["unplanned"])
    assert all(path.exists() for path in dirs)
