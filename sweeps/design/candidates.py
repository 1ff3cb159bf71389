"""Grids of a given total cost about the optimum of a surface: what a design is chosen among.

An IsoFLOP layout takes budgets evenly spaced in log C and, at each, widths of the ladder evenly
spaced in log N about the best one; a grid layout crosses widths with token counts over the same
range. Both are scaled until their runs cost what was asked for in all.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from analysis.fits.surface import Surface
from sweeps.spec.design import LEAST_SIZES, DesignSpec
from sweeps.spec.grids import GridSpec
from train.config.flops import count_params, flops_per_token
from train.config.shapes import complete_shape, ladder_widths
from train.config.spec import ModelSpec, SpecError

LEAST_KEPT = 0.8
"""Share of a grid's cells that the limits must leave."""

TOLERANCE = 0.03
"""How far a layout's cost may lie from what was asked for."""


@dataclass(frozen=True, eq=False)
class Ladder:
    """The shapes that runs may have, by rising N: widths, parameters, FLOPs a token; (shapes,)."""

    d_model: np.ndarray
    n_params: np.ndarray
    flops_per_token: np.ndarray

    @classmethod
    def of(cls, template: ModelSpec) -> "Ladder":
        """The ladder of a model whose vocabulary is known; widths that don't fit are left out."""
        rows = []
        for width in ladder_widths():
            try:
                shape = complete_shape(replace(template, d_model=width))
            except SpecError:
                continue
            rows.append((width, count_params(shape).n_params, flops_per_token(shape)))
        widths, n_params, cost = np.array(sorted(rows, key=lambda row: row[1])).T
        return cls(widths, n_params.astype(float), cost.astype(float))

    def best(self, surface: Surface, flops: float) -> int:
        """The index of the shape of least loss at a budget."""
        return int(np.argmin(surface.loss(self.n_params, flops / self.flops_per_token)))

    def ends_at(self, index: int) -> bool:
        """Whether a shape is the smallest or the largest, so that a better one may lie beyond."""
        return index in (0, len(self.n_params) - 1)

    def near(self, low: float, high: float, n_sizes: int) -> np.ndarray:
        """Indices of up to `n_sizes` shapes, evenly spaced in log N between two sizes."""
        targets = np.linspace(np.log(low), np.log(high), n_sizes)
        gaps = np.abs(np.log(self.n_params)[None, :] - targets[:, None])
        return np.unique(gaps.argmin(axis=1))


@dataclass(frozen=True)
class Limits:
    """What cells may be: tokens that the data holds, and tokens a parameter; None is no bound."""

    max_tokens: float | None = None
    min_ratio: float | None = None
    max_ratio: float | None = None

    def allow(self, n_params: np.ndarray, n_tokens: np.ndarray) -> np.ndarray:
        ratio = n_tokens / n_params
        return (
            (n_tokens <= (self.max_tokens or np.inf))
            & (ratio >= (self.min_ratio or 0.0))
            & (ratio <= (self.max_ratio or np.inf))
        )


@dataclass(frozen=True)
class Combination:
    """One choice of every part of a search; a grid's token counts are its `n_budgets`."""

    kind: str
    n_budgets: int
    n_sizes: int
    reach: float
    span: float
    seeds: int


@dataclass(frozen=True, eq=False)
class Ground:
    """What layouts are made on: the surface they are about, the shapes and the limits of cells."""

    surface: Surface
    ladder: Ladder
    limits: Limits


@dataclass(frozen=True, eq=False)
class Layout:
    """A candidate: its grids, and the N, D and FLOPs of each cell, (cells,), run with each seed."""

    choice: Combination
    grids: dict[str, GridSpec]
    n_params: np.ndarray
    n_tokens: np.ndarray
    flops: np.ndarray

    @property
    def cost(self) -> float:
        return float(self.flops.sum()) * self.choice.seeds

    @property
    def n_runs(self) -> int:
        return len(self.flops) * self.choice.seeds


def layouts(asked: DesignSpec, total: float, ground: Ground) -> Iterator[Layout]:
    """Every combination of a search that can be laid out at a total cost in FLOPs."""
    sides = (asked.kinds, asked.budgets, asked.sizes, asked.reach, asked.spans, asked.seeds)
    for parts in itertools.product(*sides):
        made = scaled(Combination(*parts), total, ground)
        if made is not None:
            yield made


def scaled(choice: Combination, total: float, ground: Ground) -> Layout | None:
    """The layout of one combination that costs a total; None where there is none.

    Cost is all but proportional to the largest budget, so that a few corrections are enough.
    """
    build = _isoflop if choice.kind == "isoflop" else _grid
    top = total / (choice.n_budgets * choice.n_sizes * choice.seeds)
    for _ in range(8):
        made = build(choice, top, ground)
        if made is None or abs(np.log(made.cost / total)) < TOLERANCE:
            return made
        top *= total / made.cost
    return None


def _isoflop(choice: Combination, top: float, ground: Ground) -> Layout | None:
    """The layout whose largest budget is `top`; None where too little of it can be run."""
    ladder, grids, parts = ground.ladder, {}, []
    for budget in np.geomspace(top / choice.span, top, choice.n_budgets):
        flops = float(f"{budget:.3g}")
        index = ladder.best(ground.surface, flops)
        if ladder.ends_at(index):
            return None
        best = ladder.n_params[index]
        shapes = ladder.near(best / choice.reach, best * choice.reach, choice.n_sizes)
        tokens = flops / ladder.flops_per_token[shapes]
        kept = ground.limits.allow(ladder.n_params[shapes], tokens)
        shapes, tokens = shapes[kept], tokens[kept]
        if len(shapes) < LEAST_SIZES:
            return None
        widths = [int(width) for width in ladder.d_model[shapes]]
        grids[f"budget{len(grids) + 1}"] = GridSpec("isoflop", d_models=widths, budgets=[flops])
        parts.append((ladder.n_params[shapes], tokens, np.full(len(shapes), flops)))
    n_params, n_tokens, flops = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Layout(choice, grids, n_params, n_tokens, flops)


def _grid(choice: Combination, top: float, ground: Ground) -> Layout | None:
    """Widths x token counts between the optima of `top / span` and `top`, widened by `reach`."""
    ladder, wide = ground.ladder, choice.reach**0.5
    budgets = np.array([top / choice.span, top])
    ends = [ladder.best(ground.surface, flops) for flops in budgets]
    if any(ladder.ends_at(index) for index in ends):
        return None
    low, high = ladder.n_params[ends]
    least, most = budgets / ladder.flops_per_token[ends]
    shapes = ladder.near(low / wide, high * wide, choice.n_sizes)
    span = np.geomspace(least / wide, most * wide, choice.n_budgets)
    lengths = [float(f"{n_tokens:.3g}") for n_tokens in span]
    index, tokens = (side.ravel() for side in np.meshgrid(shapes, lengths, indexing="ij"))
    kept = ground.limits.allow(ladder.n_params[index], tokens)
    if len(shapes) < LEAST_SIZES or kept.mean() < LEAST_KEPT:
        return None
    index, tokens = index[kept], tokens[kept]
    widths = [int(width) for width in ladder.d_model[shapes]]
    grids = {"grid": GridSpec("grid", d_models=widths, n_tokens=lengths)}
    flops = tokens * ladder.flops_per_token[index]
    return Layout(choice, grids, ladder.n_params[index], tokens, flops)
