"""Sweeps on a real two-node Slurm cluster; `bash tests/slurm/run.sh` starts one and runs these.

Every test of a fault ends in the same place: all runs finished, each recorded once, with the very
losses that the pool launcher gets.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweeps.manage.status import SweepState, read_sweep
from sweeps.slurm.squeue import read_queue
from sweeps.slurm.submissions import submissions
from train.rundir.atomic import read_jsonl
from train.rundir.record import read_record
from train.rundir.sweep_layout import run_dirs

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
CLUSTER = ["bash", str(Path(__file__).with_name("cluster.sh"))]

SWEEP = (
    "sweep=grid",
    "sweep.grids.grid.d_models=[8,16,24,32]",
    "sweep.head_rule=width",  # so that a test of one width has the ladder's own runs
    "sweep.grids.grid.n_tokens=[2.5e5,3e5]",
    "model.seq_len=64",
    "optim.batch_tokens=512",
    "runtime.save_every_seconds=1",
    "runtime.log_every=5",
    "calibrate=false",
)
SLURM = ("launcher=slurm", "launcher.mem_gb=2", "launcher.time_minutes=10")


@pytest.fixture(scope="session", autouse=True)
def cluster():
    """The tests need a cluster that is up; they start none by themselves."""
    if "SLURM_CONF" not in os.environ:
        pytest.skip("no SLURM_CONF; run bash tests/slurm/run.sh")


@pytest.fixture(scope="session")
def expected(tmp_path_factory) -> dict[str, float]:
    """run_id -> loss, by the pool launcher."""
    root = tmp_path_factory.mktemp("pool")
    sweeps(root, *SWEEP)
    return losses(root)


def sweeps(root: Path, *overrides: str, verb: str = "launch", check: bool = True) -> str:
    """Run `python -m sweeps` and return what it printed."""
    command = [sys.executable, "-m", "sweeps", verb, str(root), *overrides]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if check:
        assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def losses(root: Path) -> dict[str, float]:
    """run_id -> final loss of every run, all of which must be finished."""
    records = [read_record(path) for path in run_dirs(root)]
    assert all(record is not None and record.status == "finished" for record in records)
    return {record.run_id: record.loss for record in records if record is not None}


def told(root: Path) -> list[dict]:
    """Rows of `status format=json`."""
    return json.loads(sweeps(root, "format=json", verb="status").splitlines()[-1])["runs"]


def wait_until(root: Path, condition, seconds: float = 600) -> SweepState:
    """Wait until the sweep's state meets a condition, or fail with the logs."""
    end = time.monotonic() + seconds
    while not condition(state := read_sweep(root)):
        if time.monotonic() > end:
            pytest.fail(f"timed out\n{sweeps(root, verb='status')}\n{logs(root)}")
        time.sleep(0.5)
    return state


def logs(root: Path) -> str:
    text = [path.read_text(errors="replace") for path in sorted((root / "slurm").glob("*/*.out"))]
    squeue = subprocess.run(["squeue", "-r"], capture_output=True, text=True, check=False).stdout
    return "\n".join([squeue, *text])[-6000:]


def all_done(state: SweepState) -> bool:
    return bool(state.runs) and state.n_done == len(state.runs)


def midway(state: SweepState) -> bool:
    """Two runs are training and have saved something to come back to."""
    return len(running(state)) >= 2 and all(map(has_saved, running(state)))


def has_saved(run) -> bool:
    return any((run.run_dir / "state").glob("step-*"))


def started(run_dir: Path) -> list[tuple[str, int]]:
    """(host, pid) of every process that trained a run, in order."""
    rows = read_jsonl(run_dir / "status.jsonl")
    who = [(row["host"], row["pid"]) for row in rows if row["status"] == "running"]
    return list(dict.fromkeys(who))


def slurm_job(run) -> str:
    """The job that holds a run."""
    return json.loads((run.run_dir / "lock").read_text())["job"]


def running(state: SweepState) -> list:
    return [run for run in state.runs if run.status == "running" and run.n_tokens > 0]


def squeue_is_empty() -> bool:
    answer = subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True)
    return not answer.stdout.strip()


def come_back_now() -> None:
    """Let requeued jobs start in seconds rather than two minutes later, Slurm's own delay.

    Not at once: a node refuses a job that starts in the second in which its former life was revoked
    ("Job credential revoked" in slurmctld's log), and the job ends as failed.
    """
    end = time.monotonic() + 300
    while time.monotonic() < end:
        command = ["squeue", "-h", "-r", "-t", "PENDING", "-o", "%i %r"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        waiting = [line.split()[0] for line in listed.splitlines() if line.endswith("BeginTime")]
        for job in waiting:
            subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now+5"], check=True)
        if waiting:
            return
        time.sleep(0.5)
    pytest.fail(f"no job was requeued\n{listed}")


def test_two_shells_submit_the_same_sweep_at_once(tmp_path, expected):
    """The second finds the runs in the queue; packed jobs train each run once, in a Python that a
    wrapper starts, as a container's does.
    """
    wrapper = tmp_path / "container"
    wrapper.write_text(f'#!/bin/sh\necho started >> {tmp_path}/noted\nexec "$@"\n')
    wrapper.chmod(0o755)
    root = tmp_path / "sweep"
    command = [sys.executable, "-m", "sweeps", "launch", str(root), *SWEEP, *SLURM]
    command += ["launcher.runs_per_job=3", f"launcher.python={wrapper} {sys.executable}"]
    shells = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [shell.communicate()[0] for shell in shells]
    assert [shell.returncode for shell in shells] == [0, 0]
    assert sum("submitted array" in text for text in said) == 1
    assert sum("8 runs are in the queue already" in text for text in said) == 1
    wait_until(root, all_done)
    assert losses(root) == expected
    assert [len(started(path)) for path in run_dirs(root)] == [1] * 8
    assert "8 finished" in sweeps(root, verb="collect")
    assert (tmp_path / "noted").read_text().splitlines() == ["started"] * 3


def test_a_cancelled_job_is_retried_and_a_requeued_one_comes_back(tmp_path, expected):
    sweeps(tmp_path, *SWEEP, *SLURM, "launcher.runs_per_job=2")
    state = wait_until(tmp_path, midway)
    cancelled, requeued = running(state)[:2]
    subprocess.run(["scancel", slurm_job(cancelled)], check=True)
    subprocess.run(["scontrol", "requeue", slurm_job(requeued)], check=True)
    come_back_now()
    wait_until(tmp_path, lambda s: s.n_done >= 6 and squeue_is_empty())
    stopped = [run for run in told(tmp_path) if run["status"] not in ("finished",)]
    assert cancelled.run_id in {run["run_id"] for run in stopped}
    assert {run["status"] for run in stopped} <= {"preempted", "failed"}
    sweeps(tmp_path, *SLURM, verb="retry")
    wait_until(tmp_path, all_done)
    assert losses(tmp_path) == expected
    for run in (cancelled, requeued):
        assert len(started(run.run_dir)) >= 2


def test_a_node_that_dies_gives_its_runs_to_the_other(tmp_path, expected):
    sweeps(tmp_path, *SWEEP, *SLURM, "launcher.runs_per_job=2")
    wait_until(tmp_path, midway)
    subprocess.run([*CLUSTER, "kill-node", "n2"], check=True)
    try:
        come_back_now()
        wait_until(tmp_path, all_done)
        assert losses(tmp_path) == expected
        assert max(len(started(path)) for path in run_dirs(tmp_path)) >= 2
    finally:
        subprocess.run([*CLUSTER, "start-node", "n2"], check=True)


def test_a_time_limit_saves_requeues_and_continues_until_there_have_been_enough(tmp_path):
    """A minute is Slurm's shortest limit; the signal comes 45 s ahead of it, or earlier.

    Slurm looks at its clock twice a minute only, so that the signal may find a job that still
    starts: that life trains nothing, and is counted and requeued all the same.
    """
    long = [*SWEEP, "sweep.grids.grid.d_models=[32]", "sweep.grids.grid.n_tokens=[6e6]"]
    limits = ("launcher.time_minutes=1", "launcher.signal_seconds=45")
    sweeps(tmp_path, *long, *SLURM, *limits, "launcher.max_requeues=1")
    come_back_now()
    state = wait_until(tmp_path, lambda s: s.counts.get("timeout") == 1)
    run = state.runs[0]
    assert "time limit reached 2 times" in run.note
    [counted] = (tmp_path / "slurm").glob("*/requeues-0.json")
    assert json.loads(counted.read_text()) == {"n_requeues": 1}
    assert len(started(run.run_dir)) <= 2
    assert run.fraction < 1
    sweeps(tmp_path, verb="cancel")
    sweeps(tmp_path, "status=timeout", *SLURM, "scale_time=2", verb="retry")
    wait_until(tmp_path, lambda s: any(r.status == "running" for r in s.runs))
    limit = subprocess.run(["squeue", "-h", "-o", "%l"], capture_output=True, text=True, check=True)
    assert limit.stdout.strip() == "20:00"
    sweeps(tmp_path, verb="cancel")
    wait_until(tmp_path, lambda s: s.counts.get("preempted") == 1)


def test_runs_killed_for_their_memory_are_told_by_the_accounting_and_retried_with_more(
    tmp_path, expected
):
    """slurmstepd kills them without a word to the run, and squeue has forgotten them by then."""
    cells = (*SWEEP, "sweep.grids.grid.d_models=[8]")
    sweeps(tmp_path, *cells, *SLURM, "launcher.mem_gb=0.3")
    array = str(submissions(tmp_path)[0]["job"])
    end = time.monotonic() + 300
    while (queue := read_queue()) is None or any(queue.knows(f"{array}_{i}") for i in (0, 1)):
        assert time.monotonic() < end, f"squeue still has the jobs\n{logs(tmp_path)}"
        time.sleep(1)
    # The accounting hears of a job's end after the queue.
    wait_until(tmp_path, lambda _: all("xceeded" in run["note"] for run in told(tmp_path)), 60)
    runs = told(tmp_path)
    assert [run["status"] for run in runs] == ["oom", "oom"], runs
    assert all("is failed (exit code" in run["note"] for run in runs)
    more = ("launcher.mem_gb=0.3", "scale_memory=7")
    sweeps(tmp_path, *cells, "status=oom", *SLURM, *more, verb="retry")
    wait_until(tmp_path, all_done)
    assert losses(tmp_path) == {run_id: expected[run_id] for run_id in losses(tmp_path)}


def test_one_run_over_two_nodes_is_requeued_and_gets_the_loss_of_one_process(tmp_path, expected):
    """A process a node, joined by gloo; sums in another order differ in the last digits alone."""
    cells = ("sweep.grids.grid.d_models=[16]", "sweep.grids.grid.n_tokens=[3e5]")
    two = ("launcher.nodes=2", "launcher.env.MASTER_ADDR=127.0.0.1")
    sweeps(tmp_path, *SWEEP, *cells, *SLURM, *two)
    run = wait_until(tmp_path, lambda s: any(map(has_saved, running(s)))).runs[0]
    subprocess.run(["scontrol", "requeue", slurm_job(run)], check=True)
    come_back_now()
    wait_until(tmp_path, all_done)
    [(run_id, loss)] = losses(tmp_path).items()
    assert loss == pytest.approx(expected[run_id], rel=1e-3)
    assert len(started(run.run_dir)) == 2
    assert json.loads((run.run_dir / "env.json").read_text())["processes"] == 2


def test_a_job_preempted_by_cancelling_comes_back_and_the_last_job_tells_the_end(
    tmp_path, expected
):
    """A partition of higher priority takes both nodes; this one's jobs are cancelled for it."""
    cells = ("sweep.grids.grid.d_models=[16]", "sweep.grids.grid.n_tokens=[3e5]")
    saying = tmp_path / "told"
    root = tmp_path / "sweep"
    on_end = f"launcher.on_end='sh -c \"echo $ISOFLOP_STATUS > {saying}\"'"
    sweeps(root, *SWEEP, *cells, *SLURM, on_end)
    run = wait_until(root, lambda s: any(map(has_saved, running(s)))).runs[0]
    urgent = ["sbatch", "--partition=urgent", "--nodes=2", "--mem=7000", "--output=/dev/null"]
    subprocess.run([*urgent, "--wrap=sleep 3"], check=True)
    come_back_now()
    wait_until(root, all_done)
    [(run_id, loss)] = losses(root).items()
    assert loss == expected[run_id]
    assert len(started(run.run_dir)) == 2
    wait_until(root, lambda _: saying.exists(), 60)
    assert saying.read_text() == "finished\n"


def test_a_refused_submission_is_one_clear_line(tmp_path):
    said = sweeps(tmp_path, *SWEEP, *SLURM, "launcher.partition=nowhere", check=False)
    assert "sbatch refused" in said
    assert "partition" in said
    assert "Traceback" not in said


def test_dry_run_prints_the_scripts_and_writes_nothing(tmp_path):
    out = tmp_path / "dry"
    said = sweeps(out, *SWEEP, *SLURM, "launcher.dry_run=true", "launcher.runs_per_job=2")
    assert "#SBATCH --array=0-3%4" in said
    assert "#SBATCH --signal=USR2@120" in said
    assert "-m sweeps.slurm.job_main" in said
    assert not out.exists()
