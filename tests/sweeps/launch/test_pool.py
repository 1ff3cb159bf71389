"""The pool with real processes, real claims and runs that misbehave on purpose."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sweeps.directory.run_state import read_state
from sweeps.launch.pool import Pool
from sweeps.plan.machine import Slot
from tests.support.pool_runs import (
    WORKER,
    Reports,
    behave,
    fork_fakes,
    run_pool,
    statuses,
    tasks,
    wait_for,
)
from tests.support.sweep_fixtures import grid, make_sweep
from train.config.spec import IsoflopError


@pytest.fixture(autouse=True, params=["started", "forked"])
def way(request, monkeypatch):
    """Both ways in which a worker comes to be: a fresh process, and a fork."""
    if request.param == "forked":
        fork_fakes(monkeypatch.setattr)
    return request.param


def test_every_run_is_trained_once_by_warm_workers(tmp_path):
    dirs = make_sweep(tmp_path, iso=grid(d_models=[8, 16, 24, 32]))
    run_pool(dirs, tmp_path)
    assert statuses(dirs) == ["finished"] * len(dirs)
    starts = [(path / "starts").read_text().splitlines() for path in dirs]
    assert [len(lines) for lines in starts] == [1] * len(dirs)
    assert len({lines[0].split()[0] for lines in starts}) == 2


def test_a_second_pool_trains_nothing(tmp_path):
    dirs = make_sweep(tmp_path)
    run_pool(dirs, tmp_path)
    run_pool(dirs, tmp_path)
    assert all(len((path / "starts").read_text().splitlines()) == 1 for path in dirs)


def test_a_dead_worker_takes_only_its_own_run_and_is_replaced(tmp_path):
    dirs = make_sweep(tmp_path)
    behave(dirs[1], "die")
    reports = run_pool(dirs, tmp_path, n_workers=1)
    assert statuses(dirs) == ["finished", "failed", "finished", "finished"]
    status, message = reports.ended()[dirs[1]]
    assert status == "failed"
    assert "SIGKILL" in message
    assert "SIGKILL" in read_state(dirs[1]).note


def test_a_worker_whose_device_failed_leaves_and_a_fresh_one_goes_on(tmp_path):
    """After a CUDA error every later run of the process would fail, in milliseconds."""
    dirs = make_sweep(tmp_path)
    behave(dirs[3], "lose")  # the longest, so the first
    run_pool(dirs, tmp_path, n_workers=1, devices=["0"])
    assert statuses(dirs) == ["finished", "finished", "finished", "failed"]


@pytest.mark.parametrize("how", ["lose", "die"])
def test_a_slot_that_loses_run_after_run_is_closed_and_named(tmp_path, how):
    dirs = make_sweep(tmp_path)
    for path in dirs:
        behave(path, how)
    with pytest.raises(IsoflopError, match=r"1 runs were not started: worker 0 on device GPU-7 .*"):
        run_pool(dirs, tmp_path, n_workers=1, devices=["GPU-7"])
    assert statuses(dirs) == ["planned", "failed", "failed", "failed"]


def test_runs_that_fail_by_themselves_or_after_a_step_close_no_slot(tmp_path):
    dirs = make_sweep(tmp_path)
    for path, how in zip(dirs, ("fail", "fail", "lose", "lose"), strict=True):
        behave(path, how)
    run_pool(dirs, tmp_path, n_workers=1)
    assert statuses(dirs) == ["failed"] * 4


def test_a_hanging_worker_is_ended_and_the_others_go_on(tmp_path):
    dirs = make_sweep(tmp_path)
    behave(dirs[0], "hang")
    reports = run_pool(dirs, tmp_path, hang_seconds=1.0)
    assert statuses(dirs) == ["failed", "finished", "finished", "finished"]
    assert "no progress for 1 s" in reports.ended()[dirs[0]][1]


def test_a_failing_or_unreadable_run_is_reported_with_its_reason(tmp_path):
    dirs = make_sweep(tmp_path)
    behave(dirs[0], "fail")
    behave(dirs[1], "damaged")
    ended = run_pool(dirs, tmp_path).ended()
    assert ended[dirs[0]][0] == "failed"
    assert ended[dirs[1]] == ("failed", "spec.json can't be read")


def test_each_worker_sees_one_device_and_both_are_used(tmp_path):
    dirs = make_sweep(tmp_path)
    for path in dirs:
        behave(path, "finish")
    run_pool(dirs, tmp_path, n_workers=None, devices=["0", "1"])
    seen = {(path / "starts").read_text().split()[1] for path in dirs}
    assert seen == {"0", "1"}


def test_stopping_saves_what_runs_starts_nothing_more_and_can_be_continued(tmp_path):
    dirs = make_sweep(tmp_path)
    for path in dirs:
        behave(path, "slow")
    reports = Reports()
    pool = Pool([Slot(0, None, (), 1)], tmp_path / "logs", reports, command=WORKER)
    thread = threading.Thread(target=pool.run, args=(tasks(dirs),))
    thread.start()
    wait_for(lambda: (dirs[3] / "starts").exists())
    pool.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert statuses(dirs) == ["planned", "planned", "planned", "preempted"]
    for path in dirs:
        behave(path, "finish")
    run_pool(dirs, tmp_path)
    assert statuses(dirs) == ["finished"] * 4


def test_killing_ends_at_once_what_would_not_stop(tmp_path):
    dirs = make_sweep(tmp_path)
    behave(dirs[3], "hang")
    pool = Pool([Slot(0, None, (), 1)], tmp_path / "logs", Reports(), command=WORKER)
    thread = threading.Thread(target=pool.run, args=(tasks(dirs),))
    thread.start()
    wait_for(lambda: (dirs[3] / "starts").exists())
    pool.kill()
    thread.join(20)
    assert not thread.is_alive()
    assert statuses(dirs)[3] == "preempted"


def test_a_worker_that_can_not_start_is_one_clear_error(tmp_path):
    dirs = make_sweep(tmp_path)
    command = [sys.executable, "-c", "raise SystemExit('no such module: torch')"]
    with pytest.raises(IsoflopError, match=r"can't start.*no such module: torch"):
        run_pool(dirs, tmp_path, command=command)


def test_the_death_of_the_launcher_stops_its_workers_which_save(tmp_path, way):
    """SIGKILL of the launcher closes the workers' input; the run in hand saves and lets go."""
    dirs = make_sweep(tmp_path)
    behave(dirs[3], "slow")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; "
        "from tests.support.pool_runs import *; "
        f"{'fork_fakes(); ' if way == 'forked' else ''}"
        "run_pool([Path(p) for p in sys.argv[3:]], Path(sys.argv[2]), 1)"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", code, str(Path(__file__).parents[3]), str(tmp_path), *map(str, dirs)]
    )
    wait_for(lambda: (dirs[3] / "starts").exists())
    worker = int((dirs[3] / "starts").read_text().split()[0])
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait()
    wait_for(lambda: not Path(f"/proc/{worker}").exists())
    assert statuses(dirs)[3] == "preempted"
    assert not (dirs[3] / "lock").exists()
