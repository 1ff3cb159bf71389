"""Fitting the law of whole curves: what enters in proportion is solved for, the rest searched.

Residuals are relative. Each curve is thinned to POINTS means over stretches of equal log tokens, so
that a run logged every ten steps weighs as one logged every hundred, and the noise of single
batches averages out; points before the peak of the rate are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from analysis.errors import FitError
from analysis.fits.curve_law.law import CurveLaw, Shape, terms
from analysis.fits.curve_law.path import LossCurve, Past, past_of

POINTS = 64
"""Points that are kept of a curve."""

SKIPPED = 0.15
"""Share of a run's tokens at its start that no power law describes, and that is not fitted."""

PRIOR = ([*np.log([0.45, 300.0, 0.5]).tolist(), 0.6], (0.5, 3.0, 0.5, 0.3))
"""Means and standard deviations of log alpha, log C, log beta and gamma about the published fits of
Luo et al. 2025. Points of one curve are no independent evidence, so that without it few curves give
any gamma: it weighs as much as one curve does, POINTS points of the fit's own residuals."""

Part = tuple[LossCurve, Past, np.ndarray]

FIRST_RMS = 0.002
"""Relative residuals that a search starts from supposing."""

STARTS = ((0.4, 30.0, 0.5, 0.5), (0.4, 2000.0, 0.5, 0.5), (0.8, 300.0, 1.0, 0.3))
BOUNDS = ((0.02, 0.01, 0.02, 0.0), (3.0, 1e6, 5.0, 2.0))
"""Of alpha, C, beta and gamma: where the search starts, and what it may not leave."""

LEAST_FALL = 0.05
"""Share of the peak by which some run's rate must fall, else nothing tells what a fall gains."""


def fit_curve_law(curves: Sequence[LossCurve], start: Shape | None = None) -> CurveLaw:
    """The law of some runs' curves.

    Args:
        curves: Runs of one size or several, of one kind of data and tokenizer.
        start: Where to search from, for a fit that differs little from one that is known.

    Raises:
        FitError: No curve with five points behind the warm-up.
    """
    parts = [(curve, *thinned(curve)) for curve in curves]
    parts = [part for part in parts if len(part[2]) >= 5]
    if not parts:
        raise FitError(
            "no curve has five points with a loss and a learning rate behind its warm-up; expected "
            "columns n_tokens, lr and loss along training"
        )
    unit = float(np.median([past.age[-1] for _, past, _ in parts]))
    sizes, groups = np.unique([curve.size for curve, *_ in parts], return_inverse=True)
    starts = [start] if start else [Shape(*values) for values in STARTS]
    problem = Problem(parts, groups, len(sizes), unit)
    best = min((problem.search(one, FIRST_RMS) for one in starts), key=lambda one: one.cost)
    best = problem.search(best.shape, best.rms)
    shape, linear, rms, converged = best.shape, best.linear, best.rms, best.converged
    n_points = len(problem.loss)
    levels, (A, B) = linear[: len(sizes)], linear[len(sizes) :]
    law = CurveLaw(
        dict(zip(sizes.tolist(), levels.tolist(), strict=True)),
        float(A), float(B), shape, unit, rms, n_points,
    )  # fmt: skip
    return _judged(law, parts, converged)


def thinned(curve: LossCurve) -> tuple[Past, np.ndarray]:
    """The past and the mean loss of stretches of a curve behind its warm-up, POINTS at most."""
    known = np.isfinite(curve.lr) & (curve.n_tokens > 0)
    tokens, lr, loss = (v[known] for v in (curve.n_tokens, curve.lr, curve.loss))
    if not len(tokens):
        return past_of(np.array([1.0]), np.array([1.0]), np.array([])), loss
    first = max(tokens[int(lr.argmax())], SKIPPED * tokens[-1])
    rows = np.flatnonzero(np.isfinite(loss) & (loss > 0) & (tokens >= first))
    if len(rows) > POINTS:
        x = np.log(tokens[rows])
        bins = np.minimum(((x - x[0]) / (x[-1] - x[0]) * POINTS).astype(int), POINTS - 1)
        counts = np.bincount(bins, minlength=POINTS)
        used = counts > 0
        means = [np.bincount(bins, v[rows], POINTS)[used] / counts[used] for v in (tokens, loss)]
        return past_of(tokens, lr, means[0]), means[1]
    return past_of(tokens, lr, tokens[rows]), loss[rows]


@dataclass(frozen=True)
class Found:
    """Where one search ended."""

    cost: float
    shape: Shape
    linear: np.ndarray
    rms: float
    converged: bool


class Problem:
    """Thinned points of all curves; for a given shape the levels, A and B follow by least squares.

    Args:
        parts: Of each curve its past and losses.
        groups: Which level each curve has, (curves,).
        n_groups: Levels.
        unit: Age that the law counts in.
    """

    def __init__(self, parts: list[Part], groups: np.ndarray, n_groups: int, unit: float) -> None:
        self.loss = np.concatenate([own for *_, own in parts])
        member = np.repeat(groups, [len(own) for *_, own in parts])
        self._levels = (member[:, None] == np.arange(n_groups)) / self.loss[:, None]
        self._pasts, self._unit = [past for _, past, _ in parts], unit

    def solved(self, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        """Relative residuals, (points,), and levels, A, B, of which the last two are >= 0."""
        columns = np.concatenate([np.stack(terms(shape, p, self._unit), 1) for p in self._pasts])
        design = np.concatenate([self._levels, columns * [1.0, -1.0] / self.loss[:, None]], axis=1)
        ones = np.ones(len(self.loss))
        linear = np.linalg.lstsq(design, ones, rcond=None)[0]
        for column in np.flatnonzero(linear[-2:] < 0) - 2:  # no law: held at zero
            rest = np.linalg.lstsq(np.delete(design, column, axis=1), ones, rcond=None)[0]
            linear = np.insert(rest, len(linear) + column, 0.0)
        return design @ linear - ones, linear

    def search(self, start: Shape, rms: float) -> Found:
        """The best shape near a start, where residuals are about `rms`."""
        weight = rms * np.sqrt(POINTS) / np.array(PRIOR[1])

        def residuals(values: np.ndarray) -> np.ndarray:
            return np.append(self.solved(_shape(values))[0], weight * (values - PRIOR[0]))

        first = [*np.log([start.alpha, start.C, start.beta]), start.gamma]
        low, high = ([*np.log(ends[:3]), ends[3]] for ends in BOUNDS)
        end = least_squares(
            residuals, np.clip(first, np.add(low, 1e-6), np.subtract(high, 1e-6)),
            bounds=(low, high), x_scale=[0.3, 1.0, 0.5, 0.3], diff_step=1e-4, ftol=1e-8, xtol=1e-6,
            max_nfev=40,
        )  # fmt: skip
        left, linear = self.solved(_shape(end.x))
        spread = float(np.sqrt(np.mean(left**2)))
        return Found(float(end.cost), _shape(end.x), linear, spread, end.status > 0)


def _shape(values: np.ndarray) -> Shape:
    alpha, C, beta = (float(value) for value in np.exp(values[:3]))
    return Shape(alpha, C, beta, float(values[3]))


def _judged(law: CurveLaw, parts: list[Part], converged: bool) -> CurveLaw:
    """The law with its status: what no run's schedule determines is said."""
    deepest = max((float(past.fall.sum()) for _, past, _ in parts), default=0.0)
    if not law.A > 0:
        return replace(law, status="degenerate", reason="losses do not fall with tokens")
    if deepest < LEAST_FALL:
        reason = "no run's learning rate falls, so what a decay gains is not determined"
        return replace(law, status="degenerate", reason=reason)
    if not law.B > 0:
        return replace(law, status="bound_hit", reason="falls of the rate gain nothing")
    if not converged:
        return replace(law, status="max_iterations", reason="the search was stopped at 40 steps")
    return law
