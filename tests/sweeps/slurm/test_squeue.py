"""squeue and sacct, present, silent or absent: stand-ins on a PATH of their own."""

import pytest

from sweeps.slurm import commands
from sweeps.slurm.squeue import Queue, parse_queue, read_queue
from sweeps.slurm.submissions import SlurmJobs

RUNNING = "printf '12|10_1|RUNNING|None\\n'"
PAST = (
    "printf '8|7_0|TIMEOUT|0:15\\n9|7_1|CANCELLED by 0|0:0\\n5|7_2|RUNNING|0:0\\n"
    "11|10_0|OUT_OF_MEMORY|0:125\\n'"
)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A PATH on which only the commands that a test puts there are found."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(commands, "WAITS", (0.0,))

    def put(name, text):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    return put


def test_without_squeue_or_with_one_that_fails_nothing_is_known(path):
    assert read_queue() is None
    path("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert read_queue() is None


def jobs(queue: Queue | None, *newest: str) -> SlurmJobs:
    assert queue is not None
    return SlurmJobs(queue, {job: job for job in newest})


def test_sacct_says_how_jobs_ended_that_squeue_has_forgotten(path):
    path("squeue", RUNNING)
    path("sacct", PAST)
    found = jobs(read_queue(), "10_1", "10_0", "7_0", "7_1", "7_2")
    assert found.alive("10_1") and not found.alive("7_0")
    assert [found.ending(job) for job in ("10_0", "7_0", "7_1")] == ["oom", "timeout", "failed"]
    assert found.describe("7_1") == "Slurm job 7_1 is cancelled"
    assert found.describe("10_0") == "Slurm job 10_0 is out_of_memory (exit code 0:125)"
    assert found.describe("7_2") == "Slurm job 7_2 is gone"  # running for sacct alone: not so


@pytest.mark.parametrize("sacct", [None, "echo 'accounting storage is disabled' >&2; exit 1"])
def test_without_accounting_a_forgotten_job_is_gone_and_its_end_a_failure(path, sacct):
    path("squeue", RUNNING)
    if sacct is not None:
        path("sacct", sacct)
    found = jobs(read_queue(), "10_1", "7_0")
    assert found.alive("10_1")
    assert found.ending("7_0") == "failed"
    assert found.describe("7_0") == "Slurm job 7_0 is gone"


def test_sacct_is_asked_once_and_only_for_arrays_of_forgotten_jobs(path, tmp_path):
    path("squeue", RUNNING)
    path("sacct", f'echo "$7" >> {tmp_path}/asked')
    found = jobs(read_queue(), "10_1", "8_0", "7_0", "7_1")
    assert found.ending("10_1") == "failed"
    assert not (tmp_path / "asked").exists()
    assert {found.ending(job) for job in ("7_0", "7_1", "8_0")} == {"failed"}
    assert (tmp_path / "asked").read_text() == "7,8\n"


KILLED = """step 40
slurmstepd-n1: error: StepId=2.0 exceeded memory limit (498352128 > 321912832), being killed
srun: error: n1: task 0: Killed
slurmstepd-n1: error: Exceeded job memory limit
"""


@pytest.mark.parametrize(
    ("log", "ending", "said"),
    [
        (KILLED, "oom", ", Exceeded job memory limit"),
        (
            "slurmstepd: error: Detected 1 oom_kill event in StepId=9.batch.\n",
            "oom",
            ", Detected 1",
        ),
        ("slurmstepd: error: *** JOB 9 ON n1 CANCELLED ***\n", "failed", ", *** JOB 9"),
        ("a run that ran out of memory by its own account\n", "failed", "(NonZeroExitCode)"),
    ],
)
def test_a_failed_job_is_out_of_memory_where_slurm_wrote_so_into_its_log(
    tmp_path, log, ending, said
):
    (tmp_path / "9_0_0_log.out").write_text(log)
    queue = parse_queue("11|9_0|FAILED|NonZeroExitCode")
    found = SlurmJobs(queue, {"run": "9_0"}, {"9": tmp_path})
    assert found.ending("9_0") == ending
    assert said in found.describe("9_0")


def test_the_log_of_a_former_life_says_nothing_of_a_job_that_is_queued_again(tmp_path):
    (tmp_path / "9_0_0_log.out").write_text(KILLED)
    found = SlurmJobs(parse_queue("11|9_0|PENDING|BeginTime"), {"run": "9_0"}, {"9": tmp_path})
    assert found.describe("9_0") == "Slurm job 9_0 is pending (BeginTime)"
