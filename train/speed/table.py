"""What was measured of one machine, and the choices that follow. Pure: no torch, clock or files.

PyTorch's own calls in eager float32 are the default; anything else has to be faster by `GAIN`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from train.config.kernels import LIBRARY, Kernels

GAIN = 1.03
"""How many times as fast as the default another choice has to be measured to replace it."""

FIRST_LAYERS = 12
"""Layers that take as long to compile as what every model takes at any depth: 1, 2 and 4
layers of width 32 took 38, 42 and 46 seconds of processor time on a Xeon, g++'s included."""


@dataclass(frozen=True)
class ProductTime:
    """Seconds of a product of so many multiplications (rows x in x out), forward and weights."""

    multiplications: int
    library: float
    onednn: float
    library_weights: float
    onednn_weights: float


@dataclass(frozen=True)
class AttentionTime:
    """Seconds of causal attention and its gradients over one context and head dimension.

    `bf16` is PyTorch's call in bfloat16, `bf16_wide` the faster of the others with its casts, None
    where the processor has no such instructions.
    """

    seq_len: int
    head_dim: int
    library: float
    blocks: float
    bf16: float | None = None
    bf16_wide: float | None = None


@dataclass(frozen=True)
class StepTime:
    """Seconds of an eager optimiser step of a small model of one width.

    `kernels` and `bf16_kernels` are with what `products` and `attention` chose, None where none of
    it acts at the step's sizes; `bf16` is None where the processor has no such instructions.
    `flops` is what a step takes by the project's count.
    """

    d_model: int
    flops: float
    library: float
    kernels: float | None
    bf16: float | None
    bf16_kernels: float | None = None

    def seconds(self, precision: str) -> float | None:
        """Seconds with the faster kernels; None in a precision that was not timed."""
        low = precision == "bf16"
        pair = (self.bf16, self.bf16_kernels) if low else (self.library, self.kernels)
        return min((one for one in pair if one is not None), default=None)

    def gains(self, precision: str) -> bool | None:
        """Whether a step was faster with kernels other than the library's; None: not tried."""
        low = precision == "bf16"
        plain, ours = (self.bf16, self.bf16_kernels) if low else (self.library, self.kernels)
        return None if plain is None or ours is None else plain >= GAIN * ours


@dataclass(frozen=True)
class CompiledTime:
    """An eager step in one precision against a compiled one, and seconds until that began.

    `compiled` is None where no compiler did it.
    """

    d_model: int
    precision: str
    n_layers: int
    eager: float
    compiled: float | None
    compile_seconds: float


@dataclass(frozen=True)
class SpeedTable:
    """All measurements of one machine with one torch and so many threads."""

    products: tuple[ProductTime, ...] = ()
    attention: tuple[AttentionTime, ...] = ()
    steps: tuple[StepTime, ...] = ()
    compiled: tuple[CompiledTime, ...] = ()


def candidate_kernels(
    products: Sequence[ProductTime],
    attention: Sequence[AttentionTime],
    head_dim: int,
    seq_len: int,
    precision: str = "fp32",
) -> Kernels:
    """The kernels that were faster by themselves, before whole steps have to show it.

    Attention as at the nearest head dimension and context that were timed.
    """
    distance = _distance(head_dim), _distance(seq_len)
    met = min(
        attention, key=lambda a: (distance[0](a.head_dim), distance[1](a.seq_len)), default=None
    )
    blocks = seq_len if met is not None and met.library >= GAIN * met.blocks else None
    if precision == "bf16":
        ratio = None if met is None else _ratio(met.bf16, met.bf16_wide)
        wide = ratio is not None and ratio >= GAIN
        return Kernels(None, None, blocks, seq_len) if wide else LIBRARY
    onednn = _wins_from([(p.multiplications, p.library, p.onednn) for p in products])
    weights = [(p.multiplications, p.library_weights, p.onednn_weights) for p in products]
    return Kernels(onednn, None if onednn is None else _wins_from(weights), blocks)


def kernels_for(
    table: SpeedTable, d_model: int, head_dim: int, seq_len: int, precision: str = "fp32"
) -> Kernels:
    """The kernels for runs of a shape: the candidates, unless a whole step gains nothing by them.

    Where the timed step is too small for them, they have been faster by themselves.
    """
    step = nearest_step(table, d_model)
    if step is None or step.gains(precision) is False:
        return LIBRARY
    return candidate_kernels(table.products, table.attention, head_dim, seq_len, precision)


def bf16_pays(table: SpeedTable, d_model: int) -> bool:
    """Whether a width's eager step was faster in bfloat16, between two widths by both of them."""
    ratios = [(s.d_model, _ratio(s.seconds("fp32"), s.seconds("bf16"))) for s in table.steps]
    if not ratios:
        return False
    below = max((r for r in ratios if r[0] <= d_model), default=min(ratios))
    above = min((r for r in ratios if r[0] >= d_model), default=max(ratios))
    return all(ratio is not None and ratio >= GAIN for _, ratio in (below, above))


def eager_seconds(table: SpeedTable, d_model: int, precision: str, flops: float) -> float | None:
    """Predicted seconds of a run of so many FLOPs, not compiled; None without a measurement."""
    step = nearest_step(table, d_model)
    if step is None:
        return None
    return (step.seconds(precision) or step.library) * flops / step.flops


def compiling_pays(
    table: SpeedTable, d_model: int, precision: str, n_layers: int, flops: float
) -> bool:
    """Whether a run whose steps gain is over sooner compiled, its compile time included."""
    eager = eager_seconds(table, d_model, precision, flops)
    found = nearest_compiled(table, d_model, precision)
    if eager is None or found is None or found.compiled is None:
        return False
    ratio = found.compiled / found.eager
    depth = (FIRST_LAYERS + n_layers) / (FIRST_LAYERS + found.n_layers)
    return GAIN * ratio <= 1 and eager * ratio + found.compile_seconds * depth < eager


def nearest_step(table: SpeedTable, d_model: int) -> StepTime | None:
    """The measured step of the nearest width by ratio."""
    return min(table.steps, key=lambda s: _distance(d_model)(s.d_model), default=None)


def nearest_compiled(table: SpeedTable, d_model: int, precision: str) -> CompiledTime | None:
    """What compiling did at the measured width that stands for `d_model`; None if not tried."""
    step = nearest_step(table, d_model)
    found = [c for c in table.compiled if c.precision == precision]
    return next((c for c in found if step is not None and c.d_model == step.d_model), None)


def _ratio(seconds: float | None, other: float | None) -> float | None:
    return None if seconds is None or other is None else seconds / other


def _wins_from(rows: Sequence[tuple[int, float, float]]) -> int | None:
    """The smallest size from which the second time is less by `GAIN` at it and all larger ones."""
    smallest = None
    for size, library, ours in sorted(rows, reverse=True):
        if library < GAIN * ours:
            break
        smallest = size
    return smallest


def _distance(size: int):
    return lambda other: abs(log(other / size))
