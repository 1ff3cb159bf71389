"""One head size along a ladder, so that width alone makes a model larger.

A rule that gives each width heads of its own lets their number jump between neighbours (two at
width 16, three at 24, two at 32), a second cause of their losses beside size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from train.config.spec import ModelSpec

HEAD_RULES = ("ladder", "width")

MOST = 64
"""Channels of a head at most: what models of width 256 and more have by their width alone."""

NARROW = 8
"""Heads of fewer channels are called narrow, and the widths that ask for them are named."""


@dataclass(frozen=True)
class LadderHeads:
    """The head size that grids on one data share; `narrow` are widths that NARROW does not divide.

    `narrow` is empty where heads have NARROW channels or more.
    """

    grids: tuple[str, ...]
    head_dim: int
    narrow: tuple[int, ...] = ()

    def text(self) -> str:
        """The line of a plan that says so."""
        line = f"one head size along {', '.join(self.grids)}: {self.head_dim} channels"
        if not self.narrow:
            return line
        widths = ", ".join(f"d{width}" for width in self.narrow)
        return (
            f"{line}, as {widths} {'is' if len(self.narrow) == 1 else 'are'} not divisible by "
            f"{NARROW}; widths in multiples of {NARROW} give wider heads, sweep.head_rule=width "
            f"gives each width its own"
        )


def ladder_heads(shapes: Mapping[str, Sequence[ModelSpec]]) -> LadderHeads | None:
    """The head size of a ladder: the largest power of two, at most 64, that divides every width.

    Args:
        shapes: Models of each grid of the ladder, by the grid's name. Those whose heads are given
            (`n_heads`, `head_dim`, family=hf) keep them and are not asked.

    Returns:
        None where fewer than two widths leave their heads open, which make no ladder, or no even
        size divides them all: then each width has its own.
    """
    open_ones = {name: [m for m in models if is_open(m)] for name, models in shapes.items()}
    models = [model for chosen in open_ones.values() for model in chosen]
    widths = sorted({model.d_model for model in models})
    common = math.gcd(*(_share(model) for model in models)) if len(widths) > 1 else 1
    head_dim = min(common & -common, MOST)
    if head_dim < 2:
        return None
    narrow = tuple(d for d in widths if d % NARROW) if head_dim < NARROW else ()
    grids = tuple(name for name, chosen in open_ones.items() if chosen)
    return LadderHeads(grids, head_dim, narrow)


def with_head_dim(model: ModelSpec, heads: LadderHeads | None) -> ModelSpec:
    """The model with the ladder's head size where its heads are open.

    The number of heads is set, not `head_dim`: a run keeps the identity that it has where its width
    alone gives the same heads.
    """
    if heads is None or not is_open(model):
        return model
    return replace(model, n_heads=model.d_model // heads.head_dim)


def is_open(model: ModelSpec) -> bool:
    """Whether nothing says yet how many heads a model has."""
    return model.family != "hf" and model.n_heads is None and model.head_dim is None


def _share(model: ModelSpec) -> int:
    """The channels that a power of two must divide: with shared keys, those of each of them."""
    n_kv = model.n_kv_heads or 1
    return model.d_model // n_kv if model.d_model % n_kv == 0 else 1
