"""How a run computes: taken when it begins, kept beside it, and kept to when it is resumed.

Two choices give the same numbers up to rounding, so they are no part of a run's identity; but a
resumed run ends with the bits of an uninterrupted one only with the choice it began with.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from os import environ
from pathlib import Path

from train.config.decode import decode_stored
from train.config.flops import flops_per_token
from train.config.kernels import EARLIER, LIBRARY, Kernels
from train.config.run_config import RunConfig, RuntimeSpec
from train.config.spec import known
from train.rundir.atomic import read_json, write_json
from train.rundir.record import RunPaths
from train.speed.machine import known_table, measured_table, processor, with_compiled
from train.speed.table import (
    SpeedTable,
    compiling_pays,
    eager_seconds,
    kernels_for,
    nearest_compiled,
)

WORTH_FLOPS = 5e11
"""Cost of a run, some ten seconds of a core, from which it measures a machine that no run has."""

WORTH_SECONDS = 120.0
"""Predicted eager time from which it is tried out what compiling gains, which takes up to a minute;
compiling itself takes some twenty seconds, which a shorter run hardly repays."""

GPU_PAYS_FLOPS = 1e16
"""Run cost from which compiling is assumed to be repaid on a GPU, where nothing is measured yet."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """A run's kernels on a CPU, whether it is compiled, and whether Liger computes its loss.

    `source`: library (PyTorch's own calls; nothing was measured), measured, asked (by
    runtime.kernels), earlier release. `processor` is where it was taken.
    """

    kernels: Kernels = field(default_factory=Kernels)
    compiled: bool = False
    source: str = "library"
    processor: str = ""
    liger: bool = False

    @property
    def label(self) -> str:
        parts = [self.kernels.label, *(["compiled"] if self.compiled else [])]
        return ", ".join([*parts, *(["Liger's loss"] if self.liger else [])])


def run_choice(run_dir: Path, job: RunConfig, device: str) -> Choice:
    """The choice that the run in this directory began with, or one taken and kept now.

    What this machine can't do of it is replaced by the default, which is logged: the run goes on,
    with other rounding.

    Raises:  RecordError: it can't be written; SpecError: choice.json is damaged.
    """
    path = RunPaths(run_dir).choice
    if path.exists():
        return _possible(decode_stored(Choice, read_json(path), path.name), job, device)
    if any(RunPaths(run_dir).state.glob("step-*")):
        choice = Choice(EARLIER, compiles(job.runtime, device, _flops(job)), "earlier release")
        choice = _possible(choice, job, device)
    else:
        choice = best_choice(job, device)
        if job.runtime.loss == "liger" and not choice.liger:
            lacking = liger_lacks(device)
            log.warning("runtime.loss=liger: %s; the loss is computed in chunks", lacking)
    write_json(path, asdict(choice))
    return choice


def best_choice(job: RunConfig, device: str, measure: bool = True) -> Choice:
    """The fastest for a run's shape and length as far as this machine is or gets measured.

    Args:    measure: False takes what was measured before and starts nothing.
    """
    settled = compiles(job.runtime, device, _flops(job))
    if device != "cpu":
        liger = job.runtime.loss == "liger" and not liger_lacks(device)
        return Choice(compiled=settled, liger=liger)
    table = _table(job, measure)
    kernels, source = LIBRARY, "library" if table is None else "measured"
    shape = job.spec.model
    if job.runtime.kernels != "auto":
        kernels, source = asked_kernels(job.runtime.kernels), "asked"
    elif table is not None:
        sizes = shape.d_model, shape.head_size, shape.seq_len
        kernels = kernels_for(table, *sizes, job.spec.precision)
    compiled = settled
    if job.runtime.compile == "auto" and table is not None and has_compiler():
        compiled = _compiling_pays(job, table, measure)
    return Choice(kernels, compiled, source, processor()[0])


def measure_for(jobs: Sequence[RunConfig]) -> None:
    """Measure this machine before runs share it, where together they are worth the seconds.

    What compiling gains is tried at each width whose longest run could be repaid by it.
    """
    if sum(map(_flops, jobs)) < WORTH_FLOPS or measured_table(jobs[0].runtime.threads) is None:
        return
    longest: dict[tuple[int, str], RunConfig] = {}
    for job in sorted(jobs, key=_flops):
        longest[job.spec.model.d_model, job.spec.precision] = job
    for job in longest.values():
        best_choice(job, "cpu")


def compiles(runtime: RuntimeSpec, device: str, run_flops: float) -> bool:
    """Whether a run is compiled where no measurement decides: as asked, or by cost on a GPU."""
    if runtime.compile != "auto":
        return runtime.compile != "off"
    return device == "cuda" and run_flops >= GPU_PAYS_FLOPS


def asked_kernels(name: str) -> Kernels:
    """The kernels that runtime.kernels names, at the sizes of earlier releases."""
    onednn = EARLIER.onednn_from, EARLIER.onednn_weights_from
    return {
        "library": LIBRARY,
        "onednn": Kernels(*onednn),
        "blocks": Kernels(blocks_from=EARLIER.blocks_from),
        "onednn_blocks": EARLIER,
    }[name]


def has_compiler() -> bool:
    """Whether torch.compile finds a C++ compiler for the CPU."""
    return any(shutil.which(name) for name in (environ.get("CXX") or "g++", "g++", "clang++"))


def liger_lacks(device: str) -> str:
    """Why Liger can't compute a loss on this kind of device; empty where it can."""
    if device != "cuda":
        return f"its kernels need CUDA, and this run is on {device}"
    if find_spec("liger_kernel") is None:
        return "liger-kernel is not installed (pip install 'isoflop[liger]')"
    return ""


def _table(job: RunConfig, measure: bool) -> SpeedTable | None:
    threads = job.runtime.threads
    if measure and _flops(job) >= WORTH_FLOPS:
        return measured_table(threads)
    return known_table(threads)


def _compiling_pays(job: RunConfig, table: SpeedTable, measure: bool) -> bool:
    shape, precision, flops = job.spec.model, job.spec.precision, _flops(job)
    eager = eager_seconds(table, shape.d_model, precision, flops) or 0.0
    if eager < WORTH_SECONDS:
        return False
    if measure and nearest_compiled(table, shape.d_model, precision) is None:
        table = with_compiled(job.runtime.threads, shape.d_model, precision) or table
    layers = known(shape.n_layers, "model.n_layers")
    return compiling_pays(table, shape.d_model, precision, layers, flops)


def _possible(choice: Choice, job: RunConfig, device: str) -> Choice:
    """The choice without what this machine lacks."""
    from train.model.linear import ONEDNN  # the one thing here that only torch knows

    kernels, compiled = choice.kernels, choice.compiled
    if kernels.onednn_from is not None and not ONEDNN:
        kernels = replace(kernels, onednn_from=None, onednn_weights_from=None)
    if compiled and job.runtime.compile == "auto" and not has_compiler():
        compiled = False
    liger = choice.liger and not liger_lacks(device)
    possible = replace(choice, kernels=kernels, compiled=compiled, liger=liger)
    if possible != choice:
        log.warning(
            "the run began with %s, which this machine can't do; it goes on with %s, and its "
            "numbers differ by rounding from those of an uninterrupted run",
            choice.label,
            possible.label,
        )
    return possible


def _flops(job: RunConfig) -> float:
    n_tokens = known(job.spec.horizon.n_tokens, "horizon.n_tokens")
    return n_tokens * flops_per_token(job.spec.model)
