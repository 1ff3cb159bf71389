"""Faults on purpose; docs/reliability.md lists what is promised for each.

Runs are the fake ones of `fake_worker.py` with the real claims, records and status trail, so that a
fault takes milliseconds; `test_sweep_end_to_end.py` repeats the worst of them with real training.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sweeps.directory.run_state import read_state
from sweeps.launch.launch import tasks_of, until_done, write_sweep
from sweeps.launch.pool import Pool
from sweeps.manage.collect import collect
from sweeps.manage.status import read_sweep
from sweeps.plan.machine import Slot
from sweeps.plan.plan import Plan
from sweeps.plan.write_sweep import placed
from sweeps.spec.config import SweepConfig
from sweeps.spec.grids import SweepSpec
from tests.support.pool_runs import WORKER, behave, run_pool, statuses, tasks, wait_for
from tests.support.sweep_fixtures import expansion, finish, grid, make_sweep
from train.config.spec import IsoflopError
from train.rundir.lock import claim, holder
from train.rundir.record import append_status, read_job, read_record


def plan_in(root):
    """A plan of 4 runs and its configuration, for `write_sweep`."""
    made = expansion(iso=grid())
    config = SweepConfig(
        data=made.runs[0].job.spec.data,
        sweep=SweepSpec(name="test", grids={"iso": grid()}),
        out=str(root),
    )
    states = dict.fromkeys((run.run_id for run in made.runs), "planned")
    return Plan(made, placed(root, made.runs), [1.0] * 4, states, 1), config


def launch_in(root):
    """Write the sweep and train what has no record, as `python -m sweeps` does."""
    plan, config = plan_in(root)
    written = write_sweep(plan, config, "composed: true\n", [])
    todo = [task.run_dir for task in tasks_of(plan)]
    if todo:
        run_pool(todo, root)
    return written


def starts(run_dir):
    path = run_dir / "starts"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 kB, or a skip where none can be mounted."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


# --- processes that die


def test_launcher_and_worker_killed_together_lose_nothing(tmp_path):
    dirs = make_sweep(tmp_path)
    for path in dirs:
        behave(path, "slow")
    launcher = start_launcher(tmp_path, dirs)
    wait_for(lambda: starts(dirs[3]) == 1)
    worker = int((dirs[3] / "starts").read_text().split()[0])
    os.kill(worker, 9)
    launcher.kill()
    launcher.wait()
    for path in dirs:
        behave(path, "finish")
    wait_for(lambda: read_state(dirs[3]).status == "failed")
    run_pool(dirs, tmp_path)
    assert statuses(dirs) == ["finished"] * 4
    assert [starts(path) for path in dirs] == [1, 1, 1, 2]


def test_a_launch_takes_over_runs_whose_holder_dies_while_it_waits(tmp_path):
    dirs = make_sweep(tmp_path)
    code = "import sys,time; from pathlib import Path; from train.rundir.lock import claim\n"
    code += "with claim(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code, str(dirs[0])], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()

    def start(chosen):
        run_pool([task.run_dir for task in chosen], tmp_path)
        return True

    thread = threading.Thread(target=until_done, args=(tasks(dirs), start, Quiet(), 0.1))
    thread.start()
    wait_for(lambda: statuses(dirs).count("finished") == 3)
    assert statuses(dirs)[0] == "running"
    other.kill()
    other.wait()
    other.stdout.close()
    thread.join(20)
    assert statuses(dirs) == ["finished"] * 4


# --- two launchers


def test_two_launchers_at_once_train_every_run_once(tmp_path):
    double_launch(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_double_launches_without_a_double_run(tmp_path):
    for number in range(int(os.environ.get("ISOFLOP_PAIRS", "15"))):
        double_launch(tmp_path / str(number))


def double_launch(root):
    dirs = make_sweep(root)
    launchers = [start_launcher(root, dirs) for _ in range(2)]
    assert [launcher.wait(120) for launcher in launchers] == [0, 0]
    assert statuses(dirs) == ["finished"] * 4
    assert [starts(path) for path in dirs] == [1] * 4


# --- disks


def test_a_full_disk_fails_the_run_with_its_reason_and_a_later_launch_finishes_it(small_disk):
    launch_in(small_disk)
    dirs = sorted((small_disk / "runs").iterdir())
    for path in dirs:
        (path / "record.json").unlink()
    filler = small_disk / "filler"
    fill(filler)
    plan, _ = plan_in(small_disk)
    run_pool([task.run_dir for task in tasks_of(plan)], small_disk)
    assert {state.status for state in read_sweep(small_disk).runs} == {"failed"}
    with pytest.raises(IsoflopError, match="No space left"):
        launch_in(small_disk)
    filler.unlink()
    launch_in(small_disk)
    assert {state.status for state in read_sweep(small_disk).runs} == {"finished"}
    for path in dirs:
        assert read_record(path) is not None


def test_a_read_only_directory_is_one_clear_error_and_can_still_be_looked_at(small_disk):
    launch_in(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert read_sweep(small_disk).n_done == 4
    with pytest.raises(IsoflopError, match="Read-only file system"):
        launch_in(small_disk)
    with pytest.raises(IsoflopError, match="Read-only file system"):
        collect(small_disk)
    with pytest.raises(IsoflopError, match="Read-only file system"):
        launch_in(small_disk / "new")


# --- damaged files

DAMAGE = {
    "truncated": lambda b: b[: len(b) // 2],
    "empty": lambda b: b"",
    "garbage": lambda b: b"\0",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    "name", ["record.json", "spec.json", "status.jsonl", "metrics.jsonl", "lock"]
)
def test_a_launch_mends_every_damaged_file_and_trains_no_other_run(tmp_path, name, damage):
    launch_in(tmp_path)
    dirs = sorted((tmp_path / "runs").iterdir())
    victim = dirs[1] / name
    content = victim.read_bytes() if victim.exists() else b'{"host": "x"}'
    victim.write_bytes(DAMAGE[damage](content))
    written = launch_in(tmp_path)
    assert statuses(dirs) == ["finished"] * 4
    again = name == "record.json"
    assert [starts(path) for path in dirs] == [1, 1 + again, 1, 1]
    assert len(written.repaired) == (name in ("record.json", "spec.json"))
    collected = collect(tmp_path)
    assert collected.problems == []
    assert collected.by_status == {"finished": 4}


@pytest.mark.parametrize("name", ["runs.parquet", "curves.parquet", "evals.parquet", "plan.jsonl"])
def test_damaged_tables_are_rebuilt(tmp_path, name):
    launch_in(tmp_path)
    collect(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(b"PAR1 no")
    assert read_sweep(tmp_path).n_done == 4
    launch_in(tmp_path)
    collect(tmp_path)
    assert (tmp_path / name).read_bytes() == whole


def test_a_damaged_evaluation_is_counted_and_the_others_are_kept(tmp_path):
    dirs = make_sweep(tmp_path, n_done=2)
    for path in dirs[:2]:
        (path / "evals").mkdir()
        (path / "evals" / "task.json").write_text("{" if path == dirs[0] else '{"rows": []}')
    collected = collect(tmp_path)
    assert len(collected.problems) == 1
    assert dirs[0].name in collected.problems[0]


# --- clocks


def test_a_clock_that_jumps_neither_ends_a_run_nor_frees_its_claim(tmp_path):
    """Times on disk a day back or ahead, as after an adjustment: the monotonic clock rules."""
    dirs = make_sweep(tmp_path)
    behave(dirs[3], "slow")
    pool = Pool([Slot(0, None, (), 1)], tmp_path / "logs", lambda *_: None, 5.0, command=WORKER)
    thread = threading.Thread(target=pool.run, args=(tasks(dirs),))
    thread.start()
    wait_for(lambda: starts(dirs[3]) == 1)
    for day in (-86400, 86400):
        for name in ("status.jsonl", "lock"):
            os.utime(dirs[3] / name, (time.time() + day,) * 2)
        time.sleep(0.7)
        assert read_state(dirs[3]).status == "running"
    pool.stop()
    thread.join(20)
    assert read_state(dirs[3]).status == "preempted"
    rows = [{"status": s, "time": t} for s, t in (("running", 4e9), ("preempted", -1))]
    (dirs[0] / "status.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_state(dirs[0]).status == "preempted"


# --- nothing is silently left out


def test_every_run_directory_is_accounted_for_in_status_and_tables(tmp_path):
    dirs = make_sweep(tmp_path, n_done=1)
    (dirs[1] / "spec.json").unlink()
    append_status(dirs[2], "diverged")
    with claim(dirs[3]):
        append_status(dirs[3], "running")
        state = read_sweep(tmp_path)
        collected = collect(tmp_path)
    assert len(state.runs) == 4
    assert state.counts == {"running": 1, "finished": 1, "failed": 2}
    assert sum(collected.by_status.values()) + len(collected.problems) == 4


def test_a_record_without_its_lock_or_a_lock_without_a_record_is_no_puzzle(tmp_path):
    dirs = make_sweep(tmp_path)
    finish(dirs[0], read_job(dirs[0]))
    (dirs[0] / "lock").write_text("")
    assert read_state(dirs[0]).status == "finished"
    assert holder(dirs[1]) is None


class Quiet:
    """A console that says nothing."""

    def print(self, *args, **kwargs):
        return None


def start_launcher(root, dirs):
    """A process that trains run directories with a pool of one, then waits for those held."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.sweeps.test_faults import *; "
        "dirs = [Path(p) for p in sys.argv[3:]]; "
        "start = lambda c: bool(run_pool([t.run_dir for t in c], Path(sys.argv[2]), 1)) or True; "
        "until_done(tasks(dirs), start, Quiet(), 0.05)"
    )
    here = str(Path(__file__).parents[2])
    return subprocess.Popen([sys.executable, "-c", code, here, str(root), *map(str, dirs)])


def fill(path):
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return
