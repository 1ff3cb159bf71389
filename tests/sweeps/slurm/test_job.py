"""A Slurm job and the signals that reach it.

Slurm signals every process of a job, one after the other, at any moment. At every moment a job
must save and requeue itself, or leave a status that says what happened.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sweeps.directory.run_state import read_state
from tests.support.pool_runs import behave, statuses, wait_for
from tests.support.slurm_job import Job, ended, signal_all
from train.engine.signals import STOPPED_EXIT, held
from train.rundir.atomic import read_jsonl, write_json


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8])
def test_the_signal_ahead_of_the_limit_requeues_whenever_it_comes(tmp_path, delay):
    job = Job(tmp_path)
    with held():
        process = job.start()
    time.sleep(delay)
    signal_all(process, signal.SIGUSR2)
    code, said = ended(process)
    assert code == 75, said
    assert job.requeues == ["requeue 7_0"]
    assert set(statuses(job.dirs)) <= {"planned", "preempted"}


def test_a_job_holds_signals_before_it_imports_anything_and_answers_them_then(tmp_path):
    """The real command: its mask shows when signals are held, long before there are handlers."""
    job = Job(tmp_path)
    process = job.start([sys.executable, "-m", "sweeps.slurm.job_main"])
    usr2 = 1 << (signal.SIGUSR2 - 1)
    wait_for(lambda: _mask(process.pid, "SigBlk") & usr2)
    process.send_signal(signal.SIGUSR2)
    code, said = ended(process)
    assert code == 75, said
    assert job.requeues == ["requeue 7_0"]


def test_a_worker_that_stops_before_its_job_is_told_does_not_end_the_job(tmp_path):
    job = Job(tmp_path)
    process = job.start()
    wait_for(job.training)
    for worker in process.children():
        worker.send_signal(signal.SIGUSR2)
    wait_for(lambda: statuses(job.dirs) == ["preempted"])
    time.sleep(0.5)
    process.send_signal(signal.SIGUSR2)
    code, said = ended(process)
    assert code == 75, said
    assert job.requeues == ["requeue 7_0"]


def test_a_worker_that_stops_while_it_starts_is_no_failure_of_its_run(tmp_path):
    job = Job(tmp_path)
    with held():
        process = job.start()
    wait_for(process.children)
    for worker in process.children():
        worker.send_signal(signal.SIGUSR2)
    time.sleep(0.5)
    process.send_signal(signal.SIGUSR2)
    code, said = ended(process)
    assert code == 75, said
    assert job.requeues == ["requeue 7_0"]
    assert set(statuses(job.dirs)) <= {"planned", "preempted"}


def test_a_cancelled_job_saves_and_does_not_come_back(tmp_path):
    job = Job(tmp_path)
    process = job.start()
    wait_for(job.training)
    signal_all(process, signal.SIGTERM)
    assert ended(process)[0] == 75
    assert statuses(job.dirs) == ["preempted"]
    assert job.requeues == []


def test_workers_that_can_not_start_fail_the_runs_with_the_reason(tmp_path):
    job = Job(tmp_path)
    code = "import sys; from sweeps.launch import pool; from sweeps.slurm.job import main; "
    code += "pool.WORKER = ['false']; "
    process = job.start([sys.executable, "-c", code + "sys.exit(main())"])
    assert ended(process)[0] == 1
    assert statuses(job.dirs) == ["failed"]
    assert "can't start (exited with status 1" in read_state(job.dirs[0]).note


def test_one_run_over_two_processes_stopped_while_it_starts_says_so(tmp_path):
    """Ranks: `train.run` itself is stopped before its loop; its status is preempted, not lost."""
    job = Job(tmp_path, runs_per_job=1)
    with held():
        process = psutil.Popen([sys.executable, "-m", "train.run", str(job.dirs[0])])
    process.send_signal(signal.SIGTERM)
    assert process.wait(280) in (75, STOPPED_EXIT)
    assert not (job.dirs[0] / "lock").exists()
    assert {row["status"] for row in read_jsonl(job.dirs[0] / "status.jsonl")} <= {"preempted"}


def _mask(pid: int, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((row for row in text.splitlines() if row.startswith(f"{name}:")), f"{name}: 0")
    return int(line.split()[1], 16)


def test_a_script_submitted_under_the_old_name_still_trains(tmp_path):
    """Jobs that wait in a queue since before the move run `python -m sweeps.job TASKS.json`."""
    old = [sys.executable, "-m", "sweeps.job", str(tmp_path / "absent.json")]
    new = [sys.executable, "-m", "sweeps.slurm.job_main", str(tmp_path / "absent.json")]
    ends = [subprocess.run(c, capture_output=True, text=True, check=False) for c in (old, new)]
    assert ends[0].returncode == ends[1].returncode != 0
    assert ends[0].stderr == ends[1].stderr
    assert "absent.json" in ends[0].stderr


def test_a_job_submitted_by_an_earlier_release_trains(tmp_path):
    """Its list knows no launch and none of the newer settings; its script set what submitit set."""
    job = Job(tmp_path)
    behave(job.dirs[0], "")
    path = tmp_path / "tasks.json"
    content = json.loads(path.read_text())
    for name in ("python", "max_restarts", "max_failures", "on_end"):
        del content["launcher"][name]
    assert "launch" not in content
    write_json(path, content)
    code, said = ended(job.start(SUBMITIT_EXECUTOR="slurm"))
    assert code == 0, said
    assert statuses(job.dirs) == ["finished"]
