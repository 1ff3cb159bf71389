"""squeue and sacct, present, silent or absent: stand-ins on a PATH of their own."""

import pytest

from sweeps.queue import read_queue

RUNNING = "printf '12|10_1|RUNNING|None\\n'"
PAST = "printf '8|7_0|TIMEOUT|None\\n9|7_1|CANCELLED by 0|None\\n5|5|FAILED|None\\n'"


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A PATH on which only the commands that a test puts there are found."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(name, text):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    return put


def test_without_squeue_or_with_one_that_fails_nothing_is_known(path):
    assert read_queue() is None
    path("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert read_queue() is None


def test_sacct_says_how_jobs_ended_that_squeue_has_forgotten(path):
    path("squeue", RUNNING)
    path("sacct", PAST)
    queue = read_queue(["10", "7"])
    assert queue is not None
    assert queue.has("10_1") and not queue.has("7_0")
    assert queue.ending("7_0") == "timeout"
    assert queue.ending("7_1") == "failed"
    assert queue.describe("7_1") == "Slurm job 7_1 is cancelled"


@pytest.mark.parametrize("sacct", [None, "echo 'accounting storage is disabled' >&2; exit 1"])
def test_without_accounting_a_forgotten_job_is_gone_and_its_end_a_failure(path, sacct):
    path("squeue", RUNNING)
    if sacct is not None:
        path("sacct", sacct)
    queue = read_queue(["10", "7"])
    assert queue is not None
    assert queue.has("10_1")
    assert queue.ending("7_0") == "failed"
    assert queue.describe("7_0") == "Slurm job 7_0 is gone"


def test_sacct_is_not_asked_while_every_array_is_in_the_queue(path, tmp_path):
    path("squeue", RUNNING)
    path("sacct", f"touch {tmp_path}/asked 2>/dev/null || : > {tmp_path}/asked")
    assert read_queue(["10"]) is not None
    assert not (tmp_path / "asked").exists()
