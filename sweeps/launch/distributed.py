"""One run over many devices: a process a device, which Accelerate joins into one training."""

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from sweeps.directory.run_state import read_state
from sweeps.launch.failures import GaveUpError
from sweeps.launch.scheduler import QueuedRun
from sweeps.launch.sharding import is_sharded
from sweeps.plan.machine import device_memory, visible_devices
from sweeps.spec.launcher import LauncherSpec
from train.commands.processes import python_command, python_environment
from train.config.spec import IsoflopError
from train.engine.signals import held
from train.rundir.record import append_status

GRACE_SECONDS = 60.0
"""How long the other ranks may take to end once one has ended."""

COMMAND = python_command("train.run")

log = logging.getLogger(__name__)


class Ranks:
    """Trains runs one after the other, each by all devices of this node (and of its fellow nodes).

    Every rank is `python -m train.run RUN_DIR` with the usual torch.distributed variables, so that
    stop signals reach the ranks themselves, which agree on a step to save at.
    """

    def __init__(
        self,
        launcher: LauncherSpec,
        log_dir: Path,
        command: list[str] | None = None,
        ended: Callable[[Path, str, str], str] | None = None,
        devices: list[str] | None = None,
    ) -> None:
        """Args:    devices: GPUs of this node by id, a rank each; default: those that are visible.

        A run's model is cut into shards where `launcher.shard` asks for it.
        """
        self._devices = visible_devices(launcher) if devices is None else devices
        self._launcher = launcher
        self._log_dir = log_dir
        self._command = command or COMMAND
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ended = ended
        self._stopping = False  # set by signal handlers, which may not take an Event's lock

    def run(self, tasks: list[QueuedRun]) -> None:
        """Train every task's run directory; what ends badly is recorded by the run itself.

        Raises:  GaveUpError: too many runs in a row failed.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True)
        for task in tasks:
            if self._stopping:
                return
            self._train(task.run_dir)
            if self._ended is not None:
                why = self._ended(task.run_dir, read_state(task.run_dir).status, "")
                if why and task is not tasks[-1]:
                    raise GaveUpError(why)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask every rank to save and stop; with SIGKILL end them at once."""
        self._stopping = True
        self._signal(number)

    def _train(self, run_dir: Path) -> None:
        n_local = max(1, self._launcher.gpus)
        self._processes = []
        shards = sharded_environment() if self._shards(run_dir) else {}
        visible = {"CUDA_VISIBLE_DEVICES": ",".join(self._devices)} if self._devices else {}
        for local in range(n_local):
            with (self._log_dir / f"rank-{local}.log").open("ab") as stream, held():
                process = subprocess.Popen(
                    [*self._command, str(run_dir)],
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env=python_environment(
                        {
                            **os.environ,
                            **visible,
                            **shards,
                            **rank_environment(self._launcher, local),
                        }
                    ),
                )
            self._processes.append(process)
        if self._stopping:
            self._signal(signal.SIGTERM)
        codes = self._wait()
        log.info("%s: ranks ended with %s", run_dir.name, codes)
        if any(code < 0 for code in codes) and _leader():
            dead = ", ".join(signal.Signals(-code).name for code in codes if code < 0)
            status = "preempted" if self._stopping else "failed"
            try:
                append_status(run_dir, status, message=f"ranks killed by {dead}")
            except IsoflopError as error:
                log.error("%s", error)

    def _shards(self, run_dir: Path) -> bool:
        memory = device_memory(self._devices).values()
        least = min(memory) if len(memory) == len(self._devices) and memory else None
        return bool(self._devices) and is_sharded(run_dir, self._launcher, least)

    def _wait(self) -> list[int]:
        """Exit codes of all ranks; once one has ended, the others have a while to do so too."""
        deadline = None
        while any(process.poll() is None for process in self._processes):
            if deadline is None and any(p.poll() is not None for p in self._processes):
                deadline = time.monotonic() + GRACE_SECONDS
            if deadline is not None and time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
            time.sleep(0.1)
        return [process.wait() for process in self._processes]

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(number)


def rank_environment(launcher: LauncherSpec, local_rank: int) -> dict[str, str]:
    """The torch.distributed variables of one rank, several nodes told apart by Slurm's own.

    The ranks meet at the job's first node; `launcher.env.MASTER_ADDR` names another address for it.
    """
    n_local, node = max(1, launcher.gpus), int(os.environ.get("SLURM_NODEID", "0"))
    job = int(os.environ.get("SLURM_JOB_ID", str(os.getpid())))
    threads = str(launcher.threads)
    nodes = os.environ.get("SLURM_JOB_NODELIST", "")
    host = first_host(nodes) if nodes or launcher.nodes > 1 else "127.0.0.1"
    return {
        "RANK": str(node * n_local + local_rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(n_local * launcher.nodes),
        "LOCAL_WORLD_SIZE": str(n_local),
        "MASTER_ADDR": os.environ.get("MASTER_ADDR") or host,
        "MASTER_PORT": str(20000 + job % 20000),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }


def sharded_environment() -> dict[str, str]:
    """The variables by which Accelerate cuts a run's model into shards (FSDP2)."""
    return {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    }


def free_port() -> int:
    """A port of this host that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def first_host(node_list: str) -> str:
    """The first host of Slurm's compressed list (n[1-2,7] -> n1); this host where there is none."""
    if not node_list:
        return socket.gethostname()
    head, bracket, rest = node_list.partition("[")
    if not bracket or "," in head:
        return node_list.split(",")[0]
    return head + rest.split("]")[0].split(",")[0].split("-")[0]


def _leader() -> bool:
    return os.environ.get("SLURM_NODEID", "0") == "0"
