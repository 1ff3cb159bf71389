"""Jobs that come again: requeued for time, preempted, or started again after a dead node."""

import json
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from sweeps.directory.run_state import read_state
from tests.support.pool_runs import behave, statuses, wait_for
from tests.support.slurm_job import AGREES, Job, ended, signal_all
from train.rundir.atomic import write_json
from train.rundir.lock import LockOwner
from train.rundir.record import append_status

REFUSES = "#!/bin/sh\necho 'Job is gone' >&2\nexit 1\n"


ENDS_THE_JOB = AGREES + "kill -TERM $PPID; kill -TERM $$\n"
"""As Slurm does it: every process of the requeued job is ended, scontrol among them."""


PREEMPTS = (
    AGREES + "[ $1 = show ] && echo 'JobId=7 JobState=RUNNING StartTime=2026-01-01T00:00:00 "
    "PreemptTime={time} SuspendTime=None'; true\n"
)


@pytest.mark.parametrize(
    ("time_of_it", "asked"),
    [("2026-01-01T00:09:00", ["requeue 7_0"]), ("2025-12-31T00:00:00", []), ("None", [])],
    ids=["preempted", "preempted in a former life", "cancelled"],
)
def test_a_job_preempted_by_cancelling_comes_back_and_a_cancelled_one_does_not(
    tmp_path, time_of_it, asked
):
    job = Job(tmp_path, PREEMPTS.replace("{time}", time_of_it))
    process = job.start()
    wait_for(job.training)
    signal_all(process, signal.SIGTERM)
    code, said = ended(process)
    assert code == 75, said
    assert job.requeues == asked
    assert statuses(job.dirs) == ["preempted"]


def test_a_job_that_loses_its_node_again_and_again_fails_with_the_reason(tmp_path):
    job = Job(tmp_path, max_restarts=3)
    code, said = ended(job.start(SLURM_RESTART_COUNT="4"))
    assert code == 1, said
    assert statuses(job.dirs) == ["failed"]
    assert "started again 4 times after preemptions or dead nodes" in read_state(job.dirs[0]).note
    assert not job.training()


def test_restarts_that_the_job_asked_for_itself_are_not_counted_as_lost_nodes(tmp_path):
    job = Job(tmp_path, max_restarts=3)
    behave(job.dirs[0], "")
    write_json(tmp_path / "requeues-0.json", {"n_requeues": 1})
    assert ended(job.start(SLURM_RESTART_COUNT="4"))[0] == 0


def test_enough_requeues_for_lack_of_time_are_a_timeout(tmp_path):
    """Only its own requeues count: a job that came back after a dead node has all of them left."""
    job = Job(tmp_path, n_runs=2)
    for _ in range(2):
        process = job.start()
        wait_for(lambda: "running" in statuses(job.dirs))
        signal_all(process, signal.SIGUSR2)
        assert ended(process)[0] == 75
    assert job.requeues == ["requeue 7_0"]
    assert statuses(job.dirs) == ["timeout"] * 2
    assert "time limit reached 2 times" in read_state(job.dirs[0]).note


def test_slurm_ending_the_job_while_it_requeues_itself_is_no_refusal(tmp_path):
    job = Job(tmp_path, ENDS_THE_JOB)
    process = job.start()
    wait_for(job.training)
    signal_all(process, signal.SIGUSR2)
    code, said = ended(process)
    assert code == 75, said
    assert job.requeues == ["requeue 7_0"]
    assert statuses(job.dirs) == ["preempted"]


def test_a_requeue_that_slurm_refuses_is_a_timeout_with_its_reason(tmp_path):
    job = Job(tmp_path, REFUSES)
    process = job.start()
    wait_for(job.training)
    signal_all(process, signal.SIGUSR2)
    assert ended(process)[0] == 75
    assert statuses(job.dirs) == ["timeout"]
    assert "can't requeue job 7_0: Job is gone" in read_state(job.dirs[0]).note


def test_a_node_without_scontrol_ends_in_a_timeout_that_says_so(tmp_path):
    job = Job(tmp_path, None)
    process = job.start()
    wait_for(job.training)
    signal_all(process, signal.SIGUSR2)
    code, said = ended(process)
    assert code == 75, said
    assert "Traceback" not in said
    assert statuses(job.dirs) == ["timeout"]
    assert "scontrol can't be run on this machine" in read_state(job.dirs[0]).note


FAILS_ONCE = (
    "#!/bin/sh\nif [ ! -e {asked}-once ]; then touch {asked}-once; "
    "echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1; fi\n"
    'echo "$@" >> {asked}\n'
)


def test_a_controller_that_is_away_for_a_moment_is_asked_again_to_requeue(tmp_path):
    job = Job(tmp_path, FAILS_ONCE)
    process = job.start()
    wait_for(job.training)
    signal_all(process, signal.SIGUSR2)
    code, said = ended(process)
    assert code == 75, said
    assert job.requeues == ["requeue 7_0"]
    assert statuses(job.dirs) == ["preempted"]


def leave_lock(run_dir: Path, age: float, **holder) -> Path:
    """The lock of a process on another node, last touched `age` seconds ago."""
    append_status(run_dir, "running")
    content = asdict(LockOwner("other-node", 1, "ticks-1", "7_0", "t", cluster="here"))
    (run_dir / "lock").write_text(json.dumps(content | holder))
    os.utime(run_dir / "lock", (time.time() - age, time.time() - age))
    return run_dir / "lock"


def test_a_job_that_slurm_started_again_takes_over_from_its_former_life(tmp_path):
    job = Job(tmp_path)
    behave(job.dirs[0], "")
    leave_lock(job.dirs[0], age=60)
    code, said = ended(job.start(SLURM_RESTART_COUNT="1"))
    assert code == 0, said
    assert statuses(job.dirs) == ["finished"]


@pytest.mark.parametrize(
    ("restarts", "cluster"),
    [("0", "here"), ("1", "there")],
    ids=["two processes of one job", "a job of that number on another cluster"],
)
def test_a_lock_of_this_jobs_number_alone_is_not_its_former_life(tmp_path, restarts, cluster):
    job = Job(tmp_path)
    behave(job.dirs[0], "")
    lock = leave_lock(job.dirs[0], age=60, cluster=cluster)
    ended(job.start(SLURM_RESTART_COUNT=restarts))
    assert lock.exists()
    assert not job.training()


def test_a_former_life_whose_heart_still_beats_is_left_alone(tmp_path):
    """A node that was only out of reach: Slurm gave its job to another, and it trains on."""
    job = Job(tmp_path)
    behave(job.dirs[0], "")
    lock = leave_lock(job.dirs[0], age=1)
    process = job.start(SLURM_RESTART_COUNT="1")
    while process.poll() is None:
        lock.touch()
        time.sleep(0.7)
    ended(process)
    assert lock.exists()
    assert not job.training()
