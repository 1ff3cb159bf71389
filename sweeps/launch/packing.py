"""Times how fast runs train alone, several on a GPU and on the CPU's cores, for a plan to choose.

What was timed is kept in the user's cache beside the speeds of single runs. A plan reads it and
starts nothing; a launch times what is missing where the sweep is long enough to repay it.
"""

import logging
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from sweeps.launch.mps import NoMpsError, mps
from sweeps.plan.cost_model import Speed, seconds_left
from sweeps.plan.machine import Slot, environment, make_slots, usable_cores, visible_devices
from sweeps.plan.packing import TimedWay, Way, fastest, gpu_of, placed_by
from sweeps.plan.plan import Plan
from sweeps.plan.throughput import (
    COMMAND,
    CalibrationError,
    answer,
    as_line,
    cached_speeds,
    keep,
    timed_sizes,
)
from sweeps.spec.config import SweepConfig
from train.config.flops import flops_per_token
from train.config.run_config import RunConfig
from train.rundir.record import DONE

COUNTS = (2, 4, 8, 16)

GAIN = 1.1
"""A doubling that trains fewer tokens a second than so many times the last one's is the last."""

WORTH_SECONDS = 300.0
"""Predicted time of a sweep, a run a GPU, from which a launch times other ways: half a minute of
processes each."""

CORES_AT_ONCE = 8
"""Processes that time steps on the CPU together, at most: each loads torch, and a core's share of
the memory's bandwidth hardly changes beyond."""

MOST_ROW_FLOPS = 3e11
"""FLOPs of the largest model's row up to which the CPU's cores are timed: ten seconds of a core."""

TIMED_SECONDS = 2.0
"""Time for which processes compute side by side, a job: the same for all, so that none is alone."""

TIMEOUT_SECONDS = 300.0

log = logging.getLogger(__name__)

Child = subprocess.Popen[str]
Time = Callable[[Sequence[RunConfig], str | None, int, Mapping[str, str]], list[Speed]]


def packed(plan: Plan, config: SweepConfig, time: Time | None = None) -> Plan:
    """The plan by the fastest way to place its runs that was timed; as it is where that is settled.

    Args:    time: as `time_together`; a launch calls it for ways that no cache knows.
    """
    launcher, devices = config.launcher, visible_devices(config.launcher)
    open_ = launcher.kind == "pool" and launcher.runs_per_device is None and bool(devices)
    if not open_ or not config.calibrate or placed_by(launcher, config.root) != launcher:
        return plan
    left = [run for run in plan.runs if plan.statuses[run.run_id] not in DONE]
    alone = cached_speeds([run.job for run in plan.runs], devices[0])
    if not left or not alone:
        return plan  # no step could be timed, which the plan says
    one = TimedWay(Way(), tuple(alone), plan.workers)
    launches = config.action == "launch" and one.wall_seconds(left) >= WORTH_SECONDS
    found = _Ways(plan, config, devices, (time or time_together) if launches else None)
    ways = [one, *found.several(one, len(left)), *found.on_cores()]
    if len(ways) == 1 and not found.notes:
        return plan
    best, packing = fastest(ways, left)
    return replace(
        plan,
        seconds=[seconds_left(run, best.speeds) for run in plan.runs],
        workers=best.workers,
        on_gpus=bool(best.way.runs_per_device),
        packing=replace(packing, gpu=gpu_of(devices), notes=found.notes),
    )


class _Ways:
    """The ways other than one run a GPU, from the cache or timed now; `notes` say what was not."""

    def __init__(
        self, plan: Plan, config: SweepConfig, devices: list[str], time: Time | None
    ) -> None:
        self._jobs = [run.job for run in plan.runs]
        self._config, self._devices, self._time = config, devices, time
        self.notes: list[str] = []

    def several(self, one: TimedWay, n_left: int) -> list[TimedWay]:
        """2, 4, ... runs a GPU for as long as they gain, with and without MPS."""
        asked = self._config.launcher.mps
        found = [] if asked else self._doubled(one, n_left, False, {})
        if asked is False or self._time is None:
            return found + ([] if asked is False else self._doubled(one, n_left, True, {}))
        with tempfile.TemporaryDirectory(prefix="isoflop-") as folder:
            try:
                with mps(Path(folder) / "mps") as variables:
                    return found + self._doubled(one, n_left, True, variables)
            except NoMpsError as error:
                self.notes.append(str(error))
        return found

    def on_cores(self) -> list[TimedWay]:
        """A run on each of the CPU's cores, where runs may go there and a step takes no minutes."""
        if self._config.runtime.device != "auto" or self._config.launcher.devices != "auto":
            return []
        largest = timed_sizes(self._jobs)[-1].spec.model
        if flops_per_token(largest) * largest.seq_len > MOST_ROW_FLOPS:
            return []
        way = Way(0)
        workers = len(make_slots(way.launcher(self._config.launcher), usable_cores(), []))
        speeds = self._speeds(way, None, min(workers, CORES_AT_ONCE), {})
        return [TimedWay(way, tuple(speeds), workers)] if speeds else []

    def _doubled(
        self, one: TimedWay, n_left: int, by_mps: bool, variables: Mapping[str, str]
    ) -> list[TimedWay]:
        found: list[TimedWay] = []
        launcher, n_devices = self._config.launcher, len(self._devices)
        cores = len(usable_cores()) // launcher.threads
        reached = one.speeds[0].tokens_per_second
        for count in COUNTS:
            # Each needs a core that starts its kernels, and places without a run gain nothing.
            if count * n_devices > cores or count // 2 * n_devices >= n_left:
                break
            way = Way(count, by_mps)
            speeds = self._speeds(way, self._devices[0], count, variables)
            if not speeds:
                break
            # A size that does not fit so many times takes turns.
            turns = [Speed(s.flops_per_token, s.tokens_per_second / count) for s in one.speeds]
            placed = make_slots(way.launcher(launcher), usable_cores(), self._devices)
            timed = (*speeds, *turns[len(speeds) :])
            found.append(TimedWay(way, timed, len(placed)))
            total = count * speeds[0].tokens_per_second
            if total < GAIN * reached:
                break
            reached = total
        return found

    def _speeds(
        self, way: Way, device: str | None, at_once: int, variables: Mapping[str, str]
    ) -> list[Speed]:
        """Of one of so many runs; none where they are not known and can't be timed."""
        cached = cached_speeds(self._jobs, device, way.key)
        if cached or self._time is None:
            return cached
        log.info("timing runs %s", way.label)
        try:
            timed = self._time(timed_sizes(self._jobs), device, at_once, variables)
        except CalibrationError as error:
            self.notes.append(f"{way.label}: {error}")
            return []
        keep(timed, self._jobs, device, way.key)
        return timed


def time_together(
    jobs: Sequence[RunConfig],
    device: str | None,
    at_once: int,
    variables: Mapping[str, str],
    command: Sequence[str] = COMMAND,
    seconds: float = TIMED_SECONDS,
) -> list[Speed]:
    """Tokens per second of each of so many processes that train the same job on one device.

    They begin each job's timed steps at the same moment. Of the jobs, smallest first, those are
    timed that fit the device so many times.

    Args:    variables: of the processes' environment, beside their device and threads; seconds:
             for which each job is timed.
    Raises:  CalibrationError: one of them failed, or they took too long.
    """
    env = environment(Slot(0, device, (), jobs[0].runtime.threads), {**os.environ, **variables})
    children: list[Child] = []
    with tempfile.TemporaryFile("w+") as errors, ExitStack() as stack:
        timer = threading.Timer(TIMEOUT_SECONDS, lambda: [child.kill() for child in children])
        stack.callback(timer.cancel)
        timer.start()
        for _ in range(at_once):
            try:
                child = subprocess.Popen(
                    [*command, str(seconds)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=env,
                    text=True,
                )
            except OSError as error:
                raise CalibrationError(f"no process could be started: {error}") from error
            stack.callback(_end, child)
            children.append(child)
        _tell(children, as_line(jobs))
        for _ in jobs:
            ready = [_hear(child) == "ready" for child in children]
            _tell(children, "go\n" if all(ready) else "stop\n")
            if not all(ready):
                break
        printed = [_rest(child) for child in children]
        errors.seek(0)
        said = errors.read()
        answers = [answer(c.returncode, p, said) for c, p in zip(children, printed, strict=True)]
    return [
        Speed(each[0].flops_per_token, fmean(speed.tokens_per_second for speed in each))
        for each in zip(*answers, strict=False)
    ]


def _tell(children: Sequence[Child], line: str) -> None:
    for child in children:
        assert child.stdin is not None  # opened with a pipe
        with suppress(BrokenPipeError):  # how it ended, its answer says
            child.stdin.write(line)
            child.stdin.flush()


def _hear(child: Child) -> str:
    assert child.stdout is not None  # opened with a pipe
    return child.stdout.readline().strip()


def _rest(child: Child) -> str:
    """What a child prints until it ends; `communicate` would miss what `_hear` has read ahead."""
    assert child.stdout is not None  # opened with a pipe
    printed = child.stdout.read()
    child.wait()
    return printed


def _end(child: Child) -> None:
    child.kill()
    with suppress(BrokenPipeError):
        child.communicate()
