"""Approach 2 of Hoffmann et al. 2022: each budget's loss against log N, and its minimum.

The minima are then joined by power laws N_opt ~ C^a and D_opt ~ C^b, each weighted by its own
uncertainty. A minimum that the runs do not bracket is shown, but no law is drawn through it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.interpolate import Akima1DInterpolator

from analysis.powerlaw import PowerLaw, fit_power_law
from analysis.surface import FitError, Status

CURVES = {"parabola": 2, "cubic": 3, "akima": 2}
"""Profiles by name, and one less than the model sizes that each needs."""


@dataclass(frozen=True)
class Valley:
    """The loss profile of one budget and its minimum.

    `sigma` is the standard error of log n_opt, `interval` its 95 % interval as N; `bracketed` is
    False where runs on both sides of the minimum are missing, for the `reason` given, and `propose`
    names model sizes that would bracket it. Losses have the unit of the input.
    """

    flops: float
    n_opt: float
    d_opt: float
    loss: float
    sigma: float
    interval: tuple[float, float]
    bracketed: bool
    reason: str
    propose: tuple[float, ...]
    coefficients: np.ndarray
    n_params: np.ndarray
    n_tokens: np.ndarray
    losses: np.ndarray
    curve: str

    def profile(self, n_params: np.ndarray) -> np.ndarray:
        """The fitted loss at some model sizes."""
        x = np.log(n_params)
        if self.curve == "akima":
            return _akima(np.log(self.n_params), self.losses)(x)
        return np.polyval(self.coefficients, x - np.log(self.n_params).mean())


@dataclass(frozen=True)
class IsoflopFit:
    """The valleys, and the laws through those that are bracketed (None with fewer than two)."""

    valleys: tuple[Valley, ...]
    n_law: PowerLaw | None
    d_law: PowerLaw | None
    noise: float
    status: Status
    reason: str

    @property
    def a(self) -> float:
        return self.n_law.exponent if self.n_law else float("nan")

    @property
    def b(self) -> float:
        return self.d_law.exponent if self.d_law else float("nan")


def fit_isoflop(
    budget: np.ndarray,
    n_params: np.ndarray,
    n_tokens: np.ndarray,
    loss: np.ndarray,
    *,
    curve: str = "parabola",
    noise: float | None = None,
) -> IsoflopFit:
    """Fit each budget's valley and the power laws through the minima.

    Args:    budget: compute budget of each run, equal for the runs of one valley, FLOPs, (runs,).
             n_params, n_tokens, loss: (runs,), > 0.
             curve: parabola or cubic in log N, or Akima's interpolation through every run.
             noise: standard deviation of the loss between seeds; estimated from the scatter of all
             profiles together when None.
    Raises:  FitError: no budget has as many model sizes as the curve needs.
    """
    if curve not in CURVES:
        raise FitError(f"profile {curve!r} is unknown; expected one of {', '.join(CURVES)}")
    groups = [np.flatnonzero(budget == value) for value in np.unique(budget)]
    least = CURVES[curve] + 1
    groups = [rows for rows in groups if len(np.unique(n_params[rows])) >= least]
    if not groups:
        raise FitError(
            f"no compute budget has the {least} model sizes that a {curve} needs; "
            f"add sizes to a budget, or give the runs' budgets in a column flops_budget"
        )
    spread, freedom = _noise(groups, n_params, loss, curve, noise)
    valleys = tuple(
        _valley(float(budget[r[0]]), n_params[r], n_tokens[r], loss[r], curve, spread, freedom)
        for r in groups
    )
    return _laws(valleys, spread, freedom)


def group_by_flops(flops: np.ndarray, gap: float = 0.1, least: int = 4) -> np.ndarray:
    """The budget of each run, (runs,), by clustering FLOPs; NaN for a run that stands apart.

    Sorted FLOPs are cut wherever neighbours differ by more than `gap` in the logarithm. A cluster
    needs `least` runs within a factor of 1.5; its budget is their median.
    """
    order = np.argsort(flops)
    log_flops = np.log(flops[order])
    cluster = np.concatenate([[0], np.cumsum(np.diff(log_flops) > gap)])
    budget = np.full(len(flops), np.nan)
    for label in np.unique(cluster):
        rows = order[cluster == label]
        if len(rows) >= least and np.ptp(np.log(flops[rows])) < np.log(1.5):
            budget[rows] = np.median(flops[rows])
    return budget


def minima(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, degree: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimum of a weighted polynomial, for many weightings of one profile.

    Args:    x, y: (runs,); weights: (batch, runs).
    Returns: position and height of the minimum, each (batch,), NaN where there is none inside the
             range of x; and the coefficients (batch, degree + 1), highest power first.
    """
    design = np.vander(x, degree + 1)
    gram = np.einsum("bi,ij,ik->bjk", weights, design, design)
    rhs = np.einsum("bi,ij,i->bj", weights, design, y)
    solvable = np.linalg.cond(gram) < 1e12
    gram[~solvable] = np.eye(degree + 1)
    coefficients = np.linalg.solve(gram, rhs[..., None])[..., 0]
    coefficients[~solvable] = np.nan
    position = _vertex(coefficients)
    inside = (position >= x.min()) & (position <= x.max())
    position = np.where(inside, position, np.nan)
    powers = position[:, None] ** np.arange(degree, -1, -1)
    return position, (coefficients * powers).sum(axis=1), coefficients


def _vertex(coefficients: np.ndarray) -> np.ndarray:
    """Where a parabola's or cubic's derivative rises through zero; NaN where it never does."""
    *cubic, square, linear, _ = np.moveaxis(coefficients, -1, 0)
    third = cubic[0] if cubic else np.zeros_like(square)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(square**2 - 3 * third * linear)
        # -l / (s + root) is the rising root of 3 t x^2 + 2 s x + l, stable as t goes to 0.
        position = -linear / (square + root)
        return np.where(root > 0, position, np.nan)


def _valley(
    flops: float,
    n_params: np.ndarray,
    n_tokens: np.ndarray,
    loss: np.ndarray,
    curve: str,
    noise: float,
    freedom: float,
) -> Valley:
    order = np.argsort(n_params)
    n_params, n_tokens, loss = n_params[order], n_tokens[order], loss[order]
    x = np.log(n_params)
    centre = x.mean()
    degree = CURVES[curve]
    if curve == "akima":
        position, height, coefficients, sigma = _akima_minimum(x, loss, noise)
    else:
        one = np.ones((1, len(x)))
        position, height, coefficients = (part[0] for part in minima(x - centre, loss, one, degree))
        sigma = _position_error(x - centre, float(position), coefficients, noise)
        position = position + centre
    reason = _unbracketed(x, loss, float(position))
    shown = float(position) if np.isfinite(position) else float(x[loss.argmin()])
    half = float(stats.t.ppf(0.975, df=freedom)) * sigma if np.isfinite(freedom) else 1.96 * sigma
    return Valley(
        flops=flops,
        n_opt=float(np.exp(shown)),
        d_opt=float(np.exp(np.interp(shown, x, np.log(n_tokens)))),
        loss=float(height) if np.isfinite(position) else float(loss.min()),
        sigma=sigma,
        interval=(float(np.exp(shown - half)), float(np.exp(shown + half))),
        bracketed=not reason,
        reason=reason,
        propose=_proposal(x, shown) if reason else (),
        coefficients=coefficients,
        n_params=n_params,
        n_tokens=n_tokens,
        losses=loss,
        curve=curve,
    )


def _position_error(
    x: np.ndarray, position: float, coefficients: np.ndarray, noise: float
) -> float:
    """Standard error of the vertex: that of the slope there over the curvature (delta method)."""
    if not np.isfinite(position):
        return float("nan")
    degree = len(coefficients) - 1
    design = np.vander(x, degree + 1)
    covariance = noise**2 * np.linalg.inv(design.T @ design)
    powers = np.arange(degree, -1, -1)
    slope = powers * position ** np.maximum(powers - 1, 0)
    curvature = float(np.polyval(np.polyder(coefficients, 2), position))
    return float(np.sqrt(slope @ covariance @ slope)) / curvature


def _unbracketed(x: np.ndarray, loss: np.ndarray, position: float) -> str:
    """Why a minimum is not to be trusted; empty when runs on both sides pin it."""
    sizes = np.unique(x)
    best = x[loss.argmin()]
    if best == sizes[0]:
        return "the smallest model has the lowest loss"
    if best == sizes[-1]:
        return "the largest model has the lowest loss"
    if not np.isfinite(position):
        return "the fitted curve has no minimum among the sizes that ran"
    return ""


def _proposal(x: np.ndarray, position: float) -> tuple[float, ...]:
    """Two model sizes beyond the edge that the minimum leans to, at the grid's own ratio."""
    sizes = np.unique(x)
    ratio = max(float(np.median(np.diff(sizes))), np.log(1.4))
    low = position - sizes[0] < sizes[-1] - position
    edge, step = (sizes[0], -ratio) if low else (sizes[-1], ratio)
    return tuple(float(np.exp(edge + k * step)) for k in (1, 2))


def _noise(
    groups: Sequence[np.ndarray],
    n_params: np.ndarray,
    loss: np.ndarray,
    curve: str,
    known: float | None,
) -> tuple[float, float]:
    """Standard deviation of losses about their profiles, pooled, and its degrees of freedom."""
    if known is not None:
        return known, float("inf")
    if curve == "akima":
        return _seed_noise(groups, n_params, loss)
    degree = CURVES[curve]
    squares, freedom = 0.0, 0
    for rows in groups:
        x = np.log(n_params[rows])
        x = x - x.mean()
        fitted = np.polyval(np.polyfit(x, loss[rows], degree), x)
        squares += float(np.sum((loss[rows] - fitted) ** 2))
        freedom += max(0, len(rows) - degree - 1)
    if freedom == 0:
        return float("nan"), float("nan")
    return float(np.sqrt(squares / freedom)), float(freedom)


def _seed_noise(
    groups: Sequence[np.ndarray], n_params: np.ndarray, loss: np.ndarray
) -> tuple[float, float]:
    """As `_noise`, from runs that repeat a budget and a size; NaN when none do."""
    squares, freedom = 0.0, 0
    for rows in groups:
        for size in np.unique(n_params[rows]):
            same = loss[rows][n_params[rows] == size]
            squares += float(np.sum((same - same.mean()) ** 2))
            freedom += len(same) - 1
    if freedom == 0:
        return float("nan"), float("nan")
    return float(np.sqrt(squares / freedom)), float(freedom)


def _akima(x: np.ndarray, loss: np.ndarray) -> Akima1DInterpolator:
    sizes = np.unique(x)
    means = np.array([loss[x == size].mean() for size in sizes])
    return Akima1DInterpolator(sizes, means)


def _akima_minimum(
    x: np.ndarray, loss: np.ndarray, noise: float
) -> tuple[float, float, np.ndarray, float]:
    """Minimum of Akima's interpolation of loss against log N (Porian et al. 2024), on a fine grid.

    Its standard error is the spread of the minima of interpolations through losses with seed noise.
    """
    fine = np.linspace(x.min(), x.max(), 2001)
    values = _akima(x, loss)(fine)
    best = int(values.argmin())
    position = float(fine[best]) if 0 < best < len(fine) - 1 else float("nan")
    sigma = float("nan")
    if np.isfinite(noise):
        draws = np.random.default_rng(0).normal(size=(200, len(x)))
        minima_of_draws = [fine[_akima(x, loss + noise * z)(fine).argmin()] for z in draws]
        sigma = float(np.std(minima_of_draws))
    return position, float(values[best]), np.array([]), sigma


def _laws(valleys: tuple[Valley, ...], noise: float, freedom: float) -> IsoflopFit:
    kept = [valley for valley in valleys if valley.bracketed]
    lost = len(valleys) - len(kept)
    reason = f"{lost} of {len(valleys)} budgets have no bracketed minimum" if lost else ""
    if len(kept) < 2:
        return IsoflopFit(valleys, None, None, noise, "degenerate", reason or "only one budget")
    flops = np.array([valley.flops for valley in kept])
    sigma = np.array([valley.sigma for valley in kept])
    usable = sigma if np.all(np.isfinite(sigma) & (sigma > 0)) else None
    n_law = fit_power_law(flops, np.array([valley.n_opt for valley in kept]), usable, freedom)
    d_law = fit_power_law(flops, np.array([valley.d_opt for valley in kept]), usable, freedom)
    return IsoflopFit(valleys, n_law, d_law, noise, "converged", reason)
