"""What a run directory says about its run, however damaged it is."""

import json
import os
import socket
import time
from dataclasses import asdict

import pytest

from sweeps.directory.run_state import read_state
from sweeps.slurm.squeue import parse_queue
from sweeps.slurm.submissions import Owner, SlurmJobs
from tests.support.fake_slurm import FakeSlurm
from tests.support.sweep_fixtures import finish, make_sweep
from train.rundir.lock import LockOwner, claim, user_name
from train.rundir.record import append_status, read_job


@pytest.fixture
def run_dir(tmp_path):
    return make_sweep(tmp_path)[0]


def lock(run_dir, **values):
    content = asdict(LockOwner(socket.gethostname(), 2**22, "ticks-1", None, "t")) | values
    (run_dir / "lock").write_text(json.dumps(content))


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    return FakeSlurm(tmp_path / "fake", monkeypatch)


def jobs_with(*lines, newest_job=None, **known):
    """What is known of jobs: squeue's lines, and that `newest_job` is the run of 9_0."""
    known = {"asker": Owner(user_name()), **known}
    newest = {} if newest_job is None else {newest_job.name: "9_0"}
    return SlurmJobs(parse_queue("\n".join(lines)), newest, **known)


def test_a_directory_with_a_spec_alone_is_planned(run_dir):
    state = read_state(run_dir)
    assert (state.status, state.fraction, state.name) == ("planned", 0.0, read_job(run_dir).name)


def test_a_record_is_the_last_word(run_dir):
    append_status(run_dir, "running")
    finish(run_dir, read_job(run_dir))
    state = read_state(run_dir)
    assert (state.status, state.fraction, state.loss) == ("finished", 1.0, 2.0)


def test_a_live_holder_is_running_with_progress(run_dir):
    job = read_job(run_dir)
    total = job.spec.n_steps * job.spec.optim.batch_tokens
    with claim(run_dir):
        append_status(run_dir, "running", tokens_per_second=123.0)
        row = {"step": 1, "n_tokens": total / 4, "train_loss": 2.0, "loss": 2.5}
        (run_dir / "metrics.jsonl").write_text(json.dumps(row) + "\n" + '{"torn')
        state = read_state(run_dir)
    assert state.status == "running"
    assert state.fraction == pytest.approx(0.25, rel=0.01)
    assert (state.loss, state.tokens_per_second) == (2.5, 123.0)
    assert str(os.getpid()) in state.holder


def test_a_holder_that_died_without_a_word_is_a_failure_that_says_so(run_dir):
    append_status(run_dir, "running")
    lock(run_dir)
    state = read_state(run_dir)
    assert state.status == "failed"
    assert "exited without reporting an error" in state.note


def test_a_reused_pid_is_not_taken_for_the_holder(run_dir):
    append_status(run_dir, "running")
    lock(run_dir, pid=os.getpid(), started="ticks-0")
    assert read_state(run_dir).status == "failed"


def age_lock(run_dir, seconds):
    then = time.time() - seconds
    os.utime(run_dir / "lock", (then, then))


def test_a_holder_on_another_host_lives_by_its_heartbeat_or_its_slurm_job(run_dir, slurm):
    append_status(run_dir, "running")
    lock(run_dir, host="elsewhere", job="17")
    assert read_state(run_dir).status == "running"
    assert read_state(run_dir, jobs_with("17|9_0|RUNNING|None")).status == "running"
    # A queue that lists other jobs alone may be another user's or cluster's: the heart beats.
    assert read_state(run_dir, jobs_with("18|9_1|RUNNING|None")).status == "running"
    age_lock(run_dir, 90)
    assert read_state(run_dir, jobs_with("17|9_0|RUNNING|None")).status == "running"
    assert read_state(run_dir, jobs_with("18|9_1|RUNNING|None")).status == "failed"
    age_lock(run_dir, 10_000)
    assert read_state(run_dir).status == "failed"


def test_a_fresh_heartbeat_is_never_broken_whatever_the_queue_does_not_list(run_dir, slurm):
    append_status(run_dir, "running")
    lock(run_dir, host="elsewhere", job="17", user="me")
    assert read_state(run_dir, jobs_with(asker=Owner("me", "here"))).status == "running"


@pytest.mark.parametrize(
    ("holder", "squeue", "status"),
    [
        ({"user": "me"}, "", "failed"),
        ({"user": "me"}, "echo 'Invalid job id specified' >&2; exit 1", "failed"),
        ({"user": "me"}, "echo 'error: connect failure' >&2; exit 1", "running"),
        ({"user": "another"}, "", "running"),
        ({"user": "another"}, "echo '17|17|RUNNING|None'", "running"),
        ({"user": "another"}, "echo '17|17|CANCELLED|None'", "failed"),
        ({"user": "me", "cluster": "here"}, "", "failed"),
        ({"user": "me", "cluster": "there"}, "", "running"),
    ],
)
def test_absence_from_a_queue_is_evidence_of_ones_own_jobs_on_this_cluster_alone(
    run_dir, slurm, holder, squeue, status
):
    append_status(run_dir, "running")
    lock(run_dir, host="elsewhere", job="17", **holder)
    age_lock(run_dir, 90)
    slurm.put("squeue", squeue)
    assert read_state(run_dir, jobs_with(asker=Owner("me", "here"))).status == status
    asked = slurm.asked("squeue")
    assert asked == [] if holder.get("cluster") == "there" else "--jobs=17" in asked[0]


def test_a_run_that_waits_in_another_users_job_is_planned_and_says_what_is_not_known(
    run_dir, slurm
):
    jobs = jobs_with(
        asker=Owner("me", "here"), owners={"9": Owner("her", "here")}, newest_job=run_dir
    )
    state = read_state(run_dir, jobs)
    assert state.status == "planned"
    assert "9_0 of her on cluster here can't be asked about" in state.note


@pytest.mark.parametrize("status", ["oom", "timeout", "preempted", "failed"])
def test_the_last_status_and_its_message_stand(run_dir, status):
    append_status(run_dir, "running")
    append_status(run_dir, status, message="because\nof this")
    state = read_state(run_dir)
    assert (state.status, state.note) == (status, "because")


@pytest.mark.parametrize("content", [b"", b"{", b"\x00\xff", b"[]", b"null", b'"x"', b"{}"])
@pytest.mark.parametrize(
    "name", ["spec.json", "record.json", "status.jsonl", "metrics.jsonl", "lock"]
)
def test_no_damage_raises(run_dir, name, content):
    append_status(run_dir, "running")
    (run_dir / name).write_bytes(content)
    state = read_state(run_dir)
    assert state.status in ("failed", "planned", *(("running",) if name == "lock" else ()))
    if name in ("spec.json", "record.json"):
        assert name in state.note


def test_a_vanished_record_is_noticed(run_dir):
    append_status(run_dir, "finished")
    state = read_state(run_dir)
    assert state.status == "failed"
    assert "record.json is gone" in state.note


@pytest.mark.parametrize(
    ("begun", "job", "status", "word"),
    [
        (False, "9_0|PENDING|Resources", "planned", "pending (Resources)"),
        (True, "9_0|PENDING|BeginTime", "preempted", "pending"),
        (False, "9_0|CANCELLED|None", "failed", "ended before the run began"),
        (True, "9_0|TIMEOUT|TimeLimit", "timeout", "exited without reporting an error"),
        (True, "9_0|OUT_OF_MEMORY|OutOfMemory", "oom", "exited without reporting an error"),
        (True, "9_0|NODE_FAIL|None", "failed", "node_fail"),
        (True, "8_0|RUNNING|None", "failed", "9_0 is gone"),
    ],
)
def test_slurm_accounts_for_runs_that_say_nothing(run_dir, slurm, begun, job, status, word):
    if begun:
        append_status(run_dir, "running")
        lock(run_dir)
    state = read_state(run_dir, jobs_with(f"17|{job}", newest_job=run_dir))
    assert state.status == status
    assert word in state.note
