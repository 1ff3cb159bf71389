"""How fast a sweep's runs train, from the best that is known: the one source of predicted times.

The plan's table, the launcher's order and Slurm's time limits all come from here. Steps that were
timed on this machine come first; for GPUs that are not here, or not yet timed, what a data sheet
lets one assume (`sweeps.plan.hardware_estimate`). Either is corrected by the sweep's finished runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from sweeps.directory.run_state import RunState
from sweeps.plan.cost_model import Speed, seconds_left, size_of, tokens_per_second
from sweeps.plan.expand import PlannedRun
from sweeps.plan.hardware_estimate import utilisation
from sweeps.plan.machine import gpu_names
from sweeps.plan.packing import Way, way_of
from sweeps.spec.config import SweepConfig
from train.config.gpu_peaks import peak_of
from train.speed.choice import measure_for

ASSUMED_GPU = "A100"
"""Taken where no GPU is here and launcher.gpu names none: the slower of today's usual ones."""


@dataclass(frozen=True)
class SpeedModel:
    """Speeds by size, none where nothing is known; `notes` say where they come from."""

    speeds: tuple[Speed, ...] = ()
    notes: tuple[str, ...] = ()

    def seconds(self, run: PlannedRun) -> float | None:
        """Predicted seconds of what a run still has to train, None where nothing is known."""
        if not self.speeds:
            return None
        return seconds_left(run, self.speeds)


def speed_model(
    config: SweepConfig,
    runs: Sequence[PlannedRun],
    states: Mapping[str, RunState],
    devices: list[str],
) -> SpeedModel:
    """The speeds of a sweep's runs.

    Steps are timed where the runs will train on this machine and config.calibrate says so; on a GPU
    only for a launch, since a plan must not take one from whoever uses it.
    """
    if not runs or config.launcher.kind == "simulate":
        return SpeedModel()
    on_gpus = gpus_a_run(config) > 0 or (config.launcher.kind != "slurm" and bool(devices))
    left = [run.job for run in runs if not (run.run_id in states and states[run.run_id].done)]
    if config.action == "launch" and config.launcher.kind != "slurm" and not on_gpus:
        measure_for(left)
    base, notes = _timed(config, runs, devices, on_gpus)
    if not base and on_gpus and config.precision == "bf16":
        base, note = _assumed(config, runs, devices)
        notes += [note]
    own = _own_speeds(runs, states)
    speeds, ratio = corrected(base, own)
    if base and own:
        notes += [f"times are corrected by {len(own)} sizes of finished runs: {ratio:.3g} x speed"]
    return SpeedModel(tuple(speeds), tuple(notes))


def gpus_a_run(config: SweepConfig) -> int:
    """GPUs that each run is meant to have, here or elsewhere; 0 for a sweep on CPUs."""
    launcher = config.launcher
    if launcher.kind == "slurm" and launcher.gpus:
        return launcher.gpus * launcher.nodes
    return int(config.runtime.device == "cuda")


def corrected(base: list[Speed], own: list[Speed]) -> tuple[list[Speed], float]:
    """Predicted speeds times the median of measured / predicted, and that factor.

    A size that was measured has its own speed; without predictions there are these alone.
    """
    if not base or not own:
        return (base or own), 1.0
    ratio = median(
        one.tokens_per_second / tokens_per_second(one.flops_per_token, base) for one in own
    )
    measured = {one.flops_per_token: one for one in own}
    scaled = {
        one.flops_per_token: Speed(one.flops_per_token, ratio * one.tokens_per_second)
        for one in base
    }
    return list((scaled | measured).values()), ratio


def _timed(
    config: SweepConfig, runs: Sequence[PlannedRun], devices: list[str], on_gpus: bool
) -> tuple[list[Speed], list[str]]:
    """Speeds timed on this machine now or before, and in words why there are none."""
    if not config.calibrate or (on_gpus and not gpu_names(devices)):
        return [], []
    from sweeps.plan.throughput import CalibrationError, cached_speeds, speeds

    jobs, device = [run.job for run in runs], devices[0] if on_gpus else None
    way = way_of(config.launcher) if on_gpus else Way(0)
    if way.key and (packed := cached_speeds(jobs, device, way.key)):
        return packed, [f"times are of runs {way.label}, as they were timed"]
    alone = on_gpus and way.key != ""
    notes = [f"times are of a run alone on its GPU; {way.label} was not timed"] if alone else []
    if on_gpus and config.action != "launch":
        found = cached_speeds(jobs, device)
        return found, notes if found else []
    try:
        return speeds(jobs, device), notes
    except CalibrationError as error:
        return [], [f"steps could not be timed: {error}"]


def _assumed(
    config: SweepConfig, runs: Sequence[PlannedRun], devices: list[str]
) -> tuple[list[Speed], str]:
    """Speeds of the named GPU, of the one that is here, or of `ASSUMED_GPU`."""
    here = next(iter(gpu_names(devices[:1]).values()), "")
    named = config.launcher.gpu or (here if peak_of(here) else ASSUMED_GPU)
    peak = peak_of(named)
    assert peak is not None  # LauncherSpec knows every GPU that it takes
    flops = {run.flops / run.n_tokens: utilisation(run.n_params) * peak for run in runs}
    n_gpus = max(1, gpus_a_run(config))
    speeds = [Speed(size, n_gpus * speed / size) for size, speed in flops.items()]
    return speeds, (
        f"times are assumed for {named} from its data sheet, not measured (launcher.gpu=NAME names "
        f"another)"
    )


def _own_speeds(runs: Sequence[PlannedRun], states: Mapping[str, RunState]) -> list[Speed]:
    """What this sweep's own finished runs say, one speed a size."""
    found = {}
    for run in runs:
        state = states.get(run.run_id)
        if state is not None and state.done and state.tokens_per_second:
            found[size_of(run)] = Speed(size_of(run), state.tokens_per_second)
    return list(found.values())
