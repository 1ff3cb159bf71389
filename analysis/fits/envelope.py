"""Approach 1 of Hoffmann et al. 2022: the lower envelope of training curves in compute.

At each amount of compute some run has the least loss; its N and D at that moment follow power laws
in C. Two readings of "lower envelope" are in use: the convex hull in log-log, and the least
interpolated loss at 1,500 log-spaced amounts of compute. The latter leaves out amounts of compute
that fewer than two runs passed through, and those where a cheaper run had already done better.
"""

from dataclasses import dataclass, replace

import numpy as np

from analysis.data.run_arrays import Curves
from analysis.errors import FitError, Status
from analysis.stats.power_law import PowerLaw, fit_power_law

METHODS = ("bins", "hull")


@dataclass(frozen=True)
class EnvelopeFit:
    """Points of the envelope (points,) and the laws through them."""

    flops: np.ndarray
    n_params: np.ndarray
    n_tokens: np.ndarray
    loss: np.ndarray
    run: np.ndarray
    n_law: PowerLaw | None
    d_law: PowerLaw | None
    method: str
    status: Status
    reason: str

    @property
    def points(self) -> Curves:
        return Curves(self.run, self.n_params, self.n_tokens, self.flops, self.loss)

    @property
    def a(self) -> float:
        return self.n_law.exponent if self.n_law else float("nan")

    @property
    def b(self) -> float:
        return self.d_law.exponent if self.d_law else float("nan")


def fit_envelope(curves: Curves, method: str = "bins", n_bins: int = 1500) -> EnvelopeFit:
    """The envelope of training curves and the laws N_opt ~ C^a, D_opt ~ C^b through it.

    Args:    curves: at least two runs; losses > 0. method: "bins" as in the paper, or "hull".
    Raises:  FitError: no points, or values that are not positive and finite.
    """
    if len(curves) == 0:
        raise FitError("no training curves; the envelope needs losses along training")
    if method not in METHODS:
        raise FitError(f"envelope {method!r} is unknown; expected one of {', '.join(METHODS)}")
    for name in ("flops", "loss"):
        values = getattr(curves, name)
        if not np.all(np.isfinite(values) & (values > 0)):
            raise FitError(f"curves hold a {name} that is not positive and finite; filter it out")
    if method == "hull":
        points = curves.take(lower_hull(np.log(curves.flops), np.log(curves.loss)))
    else:
        grid = bin_edges(curves, n_bins)
        curve_grid = CurveGrid.of(curves, grid)
        points = best_points(grid, curve_grid, np.ones(int(curve_grid.run.max()) + 1, bool))
    return _through(points, method)


def bin_edges(curves: Curves, n_bins: int = 1500) -> np.ndarray:
    """Log-spaced FLOPs from the first to the last point of any curve, (bins,)."""
    return np.geomspace(curves.flops.min(), curves.flops.max(), n_bins)


@dataclass(frozen=True)
class CurveGrid:
    """Every run's curve interpolated at common FLOPs: the `depth` runs of least loss at each.

    Arrays are (depth, bins), best first; loss is inf where fewer runs have reached that compute.
    `error` is the standard error of the log of a smoothed loss, None where none is known.
    """

    run: np.ndarray
    loss: np.ndarray
    n_params: np.ndarray
    n_tokens: np.ndarray
    n_runs: int
    error: np.ndarray | None = None

    @classmethod
    def of(cls, curves: Curves, grid: np.ndarray, depth: int = 64) -> "CurveGrid":
        log_grid = np.log(grid)
        starts = np.flatnonzero(np.diff(curves.run, prepend=-1))
        ends = np.append(starts[1:], len(curves))
        depth = min(depth, len(starts))
        held = [np.full((depth, len(grid)), np.inf), np.zeros((depth, len(grid)), int)]
        columns = [curves.loss]
        if curves.error is not None:
            held.append(np.zeros((depth, len(grid))))
            columns.append(curves.error)
        per_flop = curves.n_tokens[ends - 1] / curves.flops[ends - 1]
        block = max(depth, 256)
        for first in range(0, len(starts), block):
            rows = range(first, min(first + block, len(starts)))
            read = [
                np.stack([_interpolated(curves, v, starts[i], ends[i], log_grid) for i in rows])
                for v in columns
            ]
            held = _keep_least(held, read, first, depth)
        loss, which, *error = held
        n_params = curves.n_params[starts][which]
        run = curves.run[starts][which]
        return cls(run, loss, n_params, per_flop[which] * grid, len(starts), *error)

    def best(self, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bins on the envelope of those runs that are present, (runs,) of bool, and their ranks.

        A bin counts where two runs are and where none has done better on less compute.
        """
        allowed = present[self.run] & np.isfinite(self.loss)
        rank = np.where(allowed, self.loss, np.inf).argmin(axis=0)
        bins = np.arange(self.loss.shape[1])
        contested = allowed.sum(axis=0) >= min(2, int(present.sum()))
        loss = np.where(contested, self.loss[rank, bins], np.inf)
        undominated = contested & (loss <= np.minimum.accumulate(loss))
        return bins[undominated], rank[undominated]

    def shaken(self, grid: np.ndarray, window: float, rng: np.random.Generator) -> "CurveGrid":
        """The grid with losses redrawn by their errors, which go together over a window.

        Args:
            grid: FLOPs of the bins, (bins,).
            window: Width in log FLOPs over which a curve was smoothed.
        """
        if self.error is None:
            return self
        place = (np.log(grid) - np.log(grid[0])) / window
        node, share = place.astype(int), place % 1
        drawn = rng.standard_normal((int(self.run.max()) + 1, int(node[-1]) + 2))
        noise = (1 - share) * drawn[self.run, node] + share * drawn[self.run, node + 1]
        noise /= np.hypot(1 - share, share)
        return replace(self, loss=self.loss * np.exp(np.nan_to_num(self.error) * noise))


def best_points(grid: np.ndarray, curve_grid: CurveGrid, present: np.ndarray) -> Curves:
    """The envelope of those runs alone that are present, (runs,) of bool, a point a bin."""
    bins, rank = curve_grid.best(present)
    return Curves(
        run=curve_grid.run[rank, bins],
        n_params=curve_grid.n_params[rank, bins],
        n_tokens=curve_grid.n_tokens[rank, bins],
        flops=grid[bins],
        loss=curve_grid.loss[rank, bins],
    )


def laws_through(points: Curves) -> np.ndarray:
    """(a, log k_N, b, log k_D) of N = k_N C^a, D = k_D C^b through an envelope; NaN where it has
    fewer than two points.
    """
    if len(points) < 2:
        return np.full(4, np.nan)
    x, n, d = np.log(points.flops), np.log(points.n_params), np.log(points.n_tokens)
    centred = x - x.mean()
    a, b = (float(centred @ y) / float(centred @ centred) for y in (n, d))
    return np.array([a, n.mean() - a * x.mean(), b, d.mean() - b * x.mean()])


OUTLINE_POINTS = 48


def inner(points: Curves, sizes: np.ndarray) -> Curves:
    """The stretches of an envelope where neither the smallest nor the largest of `sizes` leads:
    there a size beyond the grid might have done better.
    """
    within = (points.n_params > sizes.min()) & (points.n_params < sizes.max())
    return points.take(np.flatnonzero(within))


def outline(points: Curves, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """FLOPs and loss of an envelope's inner part at log-spaced compute, (OUTLINE_POINTS,) each, so
    that a law of its loss weighs every stretch alike; NaN where it has fewer than two points.

    Args:    sizes: n_params of the runs under the envelope.
    """
    points = inner(points, sizes)
    if len(points) < 2:
        return np.full(OUTLINE_POINTS, np.nan), np.full(OUTLINE_POINTS, np.nan)
    x = np.log(points.flops)
    fine = np.linspace(x[0], x[-1], OUTLINE_POINTS)
    return np.exp(fine), np.exp(np.interp(fine, x, np.log(points.loss)))


def lower_hull(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices of the vertices of the lower convex hull, by x.

    Points that lie above the hull of the lowest points of 1,000 slices of x can't be vertices and
    are dropped first, so that the exact hull is walked over few of many million points.
    """
    candidates = np.lexsort((y, x))
    if len(candidates) > 5000:
        slices = np.minimum(((x - x.min()) / np.ptp(x) * 1000).astype(int), 999)
        by_slice = np.lexsort((y, slices))
        lowest = by_slice[np.flatnonzero(np.diff(slices[by_slice], prepend=-1))]
        ends = candidates[[0, np.flatnonzero(x[candidates] == x[candidates[-1]])[0]]]
        outline = _walk(x, y, _sorted_by_x(np.union1d(lowest, ends), x, y))
        below = y <= np.interp(x, x[outline], y[outline])
        candidates = candidates[below[candidates]]
    return _walk(x, y, candidates)


def _sorted_by_x(rows: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return rows[np.lexsort((y[rows], x[rows]))]


def _walk(x: np.ndarray, y: np.ndarray, order: np.ndarray) -> np.ndarray:
    hull: list[int] = []
    for i in order:
        if hull and x[i] == x[hull[-1]]:
            continue  # the lower of two points at one x came first
        while len(hull) > 1 and _turns_right(x, y, hull[-2], hull[-1], i):
            hull.pop()
        hull.append(int(i))
    return np.array(hull)


def _turns_right(x: np.ndarray, y: np.ndarray, i: int, j: int, k: int) -> bool:
    return (x[j] - x[i]) * (y[k] - y[i]) - (y[j] - y[i]) * (x[k] - x[i]) <= 0


def _interpolated(
    curves: Curves, values: np.ndarray, start: int, end: int, log_grid: np.ndarray
) -> np.ndarray:
    part = slice(start, end)
    return np.interp(log_grid, np.log(curves.flops[part]), values[part], left=np.inf, right=np.inf)


def _keep_least(
    held: list[np.ndarray], read: list[np.ndarray], first: int, depth: int
) -> list[np.ndarray]:
    """Merge a block of runs, losses and any errors (block, bins), into the `depth` least losses of
    each bin so far: losses, numbers of the runs and any errors.
    """
    loss, *error = read
    which = np.arange(first, first + len(loss))[:, None] + np.zeros_like(loss, dtype=int)
    merged = [np.concatenate(pair) for pair in zip(held, [loss, which, *error], strict=True)]
    order = np.argsort(merged[0], axis=0, kind="stable")[:depth]
    return [np.take_along_axis(values, order, axis=0) for values in merged]


def _through(points: Curves, method: str) -> EnvelopeFit:
    sizes = len(np.unique(points.n_params))
    if sizes < 2 or len(np.unique(points.flops)) < 2:
        reason = f"the envelope touches {sizes} model size(s); a law needs at least 2"
        laws, status = (None, None), "degenerate"
    else:
        reason, status = "", "converged"
        laws = (
            fit_power_law(points.flops, points.n_params),
            fit_power_law(points.flops, points.n_tokens),
        )
    return EnvelopeFit(
        points.flops, points.n_params, points.n_tokens, points.loss, points.run,
        *laws, method, status, reason,
    )  # fmt: skip
