"""A Slurm job without Slurm: real processes, real signals, and stand-ins for its commands."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import psutil

from sweeps.slurm.launches import Launch
from sweeps.spec.launcher import LauncherSpec
from tests.support.pool_runs import behave
from tests.support.sweep_fixtures import grid, make_sweep
from train.rundir.atomic import write_json

FAKE_JOB = [sys.executable, str(Path(__file__).parent / "fake_job.py")]


AGREES = '#!/bin/sh\necho "$@" >> {asked}\n'


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
