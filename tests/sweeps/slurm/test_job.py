"""A Slurm job without Slurm: real processes, real signals, and stand-ins for its commands.

Slurm signals every process of a job, one after the other, at any moment. At every moment a job
must save and requeue itself, or leave a status that says what happened.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from sweeps.directory.run_state import read_state
from sweeps.slurm.launches import Launch
from sweeps.slurm.squeue import parse_queue
from sweeps.slurm.submissions import SlurmJobs
from sweeps.spec.launcher import LauncherSpec
from tests.support.pool_runs import behave, statuses, wait_for
from tests.support.sweep_fixtures import grid, make_sweep
from train.engine.signals import STOPPED_EXIT, held
from train.rundir.atomic import read_jsonl, write_json
from train.rundir.lock import LockOwner
from train.rundir.record import append_status

FAKE_JOB = [sys.executable, str(Path(__file__).parents[2] / "support" / "fake_job.py")]

AGREES = '#!/bin/sh\necho "$@" >> {asked}\n'
REFUSES = "#!/bin/sh\necho 'Job is gone' >&2\nexit 1\n"
ENDS_THE_JOB = AGREES + "kill -TERM $PPID; kill -TERM $$\n"
"""As Slurm does it: every process of the requeued job is ended, scontrol among them."""


class Job:
    """One job of an array in a folder of its own, with the stand-in for scontrol given."""

    def __init__(
        self, root: Path, scontrol: str | None = AGREES, n_runs: int = 1, **launcher
    ) -> None:
        self.dirs = make_sweep(root, iso=grid(budgets=[1e10], d_models=[8, 16, 24][:n_runs]))
        for path in self.dirs:
            behave(path, "slow")
        self._root = root
        self.asked, self._bin = root / "asked", root / "bin"
        self._bin.mkdir()
        self._command("squeue", "#!/bin/sh\necho '7|7_0|RUNNING|None'\n")
        self._path = str(self._bin)
        if scontrol is not None:
            self._command("scontrol", scontrol.format(asked=self.asked))
            self._path += f":{os.environ['PATH']}"
        self._tasks = root / "tasks.json"
        spec = LauncherSpec(kind="slurm", **{"max_requeues": 1, "runs_per_job": 3, **launcher})
        content = {"launcher": asdict(spec), "root": str(root)}
        write_json(self._tasks, {**content, "jobs": [[str(path) for path in self.dirs]]})

    def _command(self, name: str, text: str) -> None:
        (self._bin / name).write_text(text)
        (self._bin / name).chmod(0o755)

    def split(self, launch: str, **launcher) -> None:
        """Make it an array of one job a run, which belongs to a launch."""
        content = json.loads(self._tasks.read_text())
        content["launcher"] |= launcher
        runs = [str(path) for path in self.dirs]
        write_json(self._tasks, {**content, "launch": launch, "jobs": [[run] for run in runs]})
        Launch(self._root.parent, launch).write("mine", runs)

    def start(self, command=FAKE_JOB, index=0, **slurm) -> psutil.Popen:
        """Start it as Slurm would; stop signals are held from its birth, as `hold` does later."""
        slurm |= {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(index)}
        slurm["SLURM_CLUSTER_NAME"] = "here"
        env = {**os.environ, **slurm, "PATH": self._path}
        return psutil.Popen(
            [*command, str(self._tasks)], env=env, stderr=subprocess.PIPE, text=True
        )

    def training(self) -> bool:
        return (self.dirs[0] / "starts").exists()

    @property
    def requeues(self) -> list[str]:
        asked = self.asked.read_text().splitlines() if self.asked.exists() else []
        return [line for line in asked if line.startswith("requeue")]


def signal_all(process: psutil.Popen, number: signal.Signals) -> None:
    """Signal a process and its descendants, as Slurm does, the youngest first."""
    for one in [*reversed(process.children(recursive=True)), process]:
        try:
            one.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def ended(process: psutil.Popen) -> tuple[int, str]:
    """(exit status, standard error) of a job's process."""
    said = process.communicate(timeout=280)[1]
    return process.returncode, said


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


def test_a_fault_of_all_runs_stops_the_jobs_of_a_launch_and_says_which(tmp_path):
    """Three jobs of one run each: two fail, the third is not begun and stays planned."""
    job = Job(tmp_path / "slurm" / "x", n_runs=3, max_failures=2, runs_per_job=1)
    job.split(
        launch="abc", on_end=f"sh -c 'echo $ISOFLOP_STATUS $ISOFLOP_N_FAILED > {tmp_path}/told'"
    )
    for path in job.dirs:
        behave(path, "fail")
    codes = [ended(job.start(index=index))[0] for index in range(3)]
    assert codes == [1, 1, 1]
    assert statuses(job.dirs) == ["failed", "failed", "planned"]
    note = read_state(job.dirs[2]).note
    assert "not started: the last 2 runs failed (launcher.max_failures=2), all with as told" in note
    gone = SlurmJobs(parse_queue("7|7_2|COMPLETED|None"), {job.dirs[2].name: "7_2"})
    assert read_state(job.dirs[2], gone).status == "planned"
    assert (tmp_path / "told").read_text() == "stopped 2\n"


def test_the_last_job_of_a_launch_runs_its_command_once(tmp_path):
    job = Job(tmp_path / "slurm" / "x", n_runs=2, runs_per_job=1)
    job.split(
        launch="abc", on_end=f"sh -c 'echo $ISOFLOP_STATUS $ISOFLOP_SWEEP >> {tmp_path}/told'"
    )
    for path in job.dirs:
        behave(path, "")
    assert ended(job.start(index=1))[0] == 0
    assert not (tmp_path / "told").exists()
    for _ in range(2):
        assert ended(job.start(index=0))[0] == 0
    assert (tmp_path / "told").read_text() == "finished mine\n"


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
