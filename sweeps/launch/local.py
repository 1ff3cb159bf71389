"""Launchers on this machine: runs one after the other in this process, or in a pool of workers."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from sweeps.directory.run_state import read_state
from sweeps.launch.distributed import Ranks
from sweeps.launch.failures import GaveUpError
from sweeps.launch.interrupts import on_interrupt
from sweeps.launch.mps import NoMpsError, mps
from sweeps.launch.pool import Ended, Pool
from sweeps.launch.scheduler import QueuedRun, Report
from sweeps.launch.sharding import MEMORY_SHARE, is_sharded
from sweeps.launch.worker import TrainRun, attempt
from sweeps.plan.device_check import why_unusable
from sweeps.plan.machine import device_memory, make_slots, usable_cores, visible_devices
from sweeps.spec.launcher import LauncherSpec
from train.engine.signals import stop_at_once

log = logging.getLogger(__name__)

PROCESS_BYTES = 500e6
"""Resident memory of a worker with torch and transformers imported."""


def run_inline(
    tasks: list[QueuedRun],
    report: Report,
    train: TrainRun | None = None,
    ended: Ended | None = None,
) -> bool:
    """Train every task in this process, in the order given but for runs that branch, which wait for
    the shorter ones of their trunk; False where it was interrupted.

    Raises:  GaveUpError: too many runs in a row failed.
    """
    if train is None:
        from train.run import train_run as train
    former = signal.signal(signal.SIGUSR1, stop_at_once)
    try:
        with on_interrupt(_stop_training, stop_at_once) as interrupted:
            for task in sorted(tasks, key=lambda task: task.n_tokens if task.trunk else 0):
                if interrupted():
                    break
                report(task, "running", "")
                status, message = attempt(train, task.run_dir)
                report(task, status, message)
                why = ended(task.run_dir, status, message) if ended is not None else ""
                if why:
                    raise GaveUpError(why)
            return not interrupted()
    finally:
        signal.signal(signal.SIGUSR1, former)


def _stop_training(number: int) -> None:
    """Ask the run in progress to save and return: its loop answers SIGUSR1 between two steps."""
    signal.raise_signal(signal.SIGUSR1)


def run_pool(
    tasks: list[QueuedRun],
    launcher: LauncherSpec,
    log_dir: Path,
    report: Report,
    command: list[str] | None = None,
    ended: Ended | None = None,
    ranks_command: list[str] | None = None,
    watch: Callable[[], None] | None = None,
) -> bool:
    """Train every task in warm workers, longest first; False where it was interrupted.

    Runs that no single GPU holds come last, each on all of them (`launcher.shard`).

    Raises:  IsoflopError: workers can't start; GaveUpError: too many runs in a row failed.
    """
    devices = working_devices(launcher)
    spread = [task for task in tasks if _spreads(task, launcher, devices)]
    slots = make_slots(launcher, usable_cores(), devices)
    places = {slot.device for slot in slots}
    pool = Pool(
        slots=slots,
        log_dir=log_dir,
        report=report,
        hang_seconds=launcher.hang_seconds,
        limits=memory_limits(launcher, places, len(slots)),
        command=command,
        ended=ended,
        watch=watch,
    )
    together = replace(launcher, gpus=len(devices), nodes=1)
    ranks = Ranks(together, log_dir, ranks_command, devices=devices)

    def stop(number: int) -> None:
        ranks.stop()
        pool.stop()

    def kill(number: int) -> None:
        ranks.stop(signal.SIGKILL)
        pool.kill()

    with on_interrupt(stop, kill) as interrupted:
        if alone := [task for task in tasks if task not in spread]:
            with _service(launcher, devices, log_dir):
                pool.run(alone)
        for task in spread:
            if not interrupted():
                _on_all(task, ranks, report, ended)
        return not interrupted()


@contextmanager
def _service(launcher: LauncherSpec, devices: list[str], log_dir: Path) -> Iterator[None]:
    """MPS for the block and its workers, where it is asked for and runs share a GPU."""
    if not launcher.mps or not devices or launcher.packed == 1:
        yield
        return
    with ExitStack() as stack:
        try:
            variables = stack.enter_context(mps(log_dir / "mps"))
        except NoMpsError as error:
            log.warning("%s", error)
            variables = {}
        os.environ.update(variables)  # which workers inherit
        stack.callback(lambda: [os.environ.pop(name, None) for name in variables])
        yield


def _spreads(task: QueuedRun, launcher: LauncherSpec, devices: list[str]) -> bool:
    """Whether a run is to have all GPUs together, since none of them holds its model."""
    memory = device_memory(devices).values()
    known = len(devices) > 1 and len(memory) == len(devices)
    return known and is_sharded(task.run_dir, launcher, min(memory))


def _on_all(task: QueuedRun, ranks: Ranks, report: Report, ended: Ended | None) -> None:
    """Train one run by all devices.

    Raises:  GaveUpError: too many runs in a row failed.
    """
    report(task, "running", "")
    ranks.run([task])
    state = read_state(task.run_dir)
    report(task, state.status, state.note)
    why = ended(task.run_dir, state.status, state.note) if ended is not None else ""
    if why:
        raise GaveUpError(why)


def working_devices(launcher: LauncherSpec) -> list[str]:
    """The GPUs to use; with devices=auto none where torch can't use what nvidia-smi lists.

    A machine may have a card and a build of torch that knows none. Its runs train on the CPU then,
    which is reported.
    """
    devices = visible_devices(launcher)
    if launcher.devices != "auto" or not devices:
        return devices
    reason = why_unusable(devices[0])
    if not reason:
        return devices
    log.warning("nvidia-smi lists %d GPUs and none is used: %s", len(devices), reason)
    return []


def memory_limits(
    launcher: LauncherSpec, devices: set[str | None], n_workers: int
) -> dict[str | None, float]:
    """Bytes that the runs on each device may be predicted to take together; unknown is no limit."""
    if launcher.memory_gb is not None:
        return dict.fromkeys(devices, launcher.memory_gb * 1e9)
    totals = device_memory(device for device in devices if device is not None)
    limits: dict[str | None, float] = {
        device: MEMORY_SHARE * totals[device] for device in devices if device in totals
    }
    if None in devices:
        free = psutil.virtual_memory().available - n_workers * PROCESS_BYTES
        limits[None] = max(0.0, MEMORY_SHARE * free)
    return limits
