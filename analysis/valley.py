"""One budget's valley: losses as a polynomial of log N, the minimum, how well it is held."""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.interpolate import Akima1DInterpolator

CURVES = {"parabola": 2, "cubic": 3, "akima": 2}
"""Profiles by name, and one less than the model sizes that each needs."""


@dataclass(frozen=True)
class Valley:
    """The loss profile of one budget and its minimum.

    `sigma` is the standard error of log n_opt, `interval` its 95 % interval as N; `bracketed` is
    False where runs on a side of the minimum are missing, for the `reason` given; `thin` says that
    a single size holds one side; `propose` names sizes that would bracket it better. Losses have
    the unit of the input.
    """

    flops: float
    n_opt: float
    d_opt: float
    loss: float
    sigma: float
    interval: tuple[float, float]
    bracketed: bool
    reason: str
    thin: bool
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
            return akima(np.log(self.n_params), self.losses)(x)
        return np.polyval(self.coefficients, x - np.log(self.n_params).mean())


def fit_valley(
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
        thin=_thin(x, shown),
        propose=_proposal(x, shown) if reason or _thin(x, shown) else (),
        coefficients=coefficients,
        n_params=n_params,
        n_tokens=n_tokens,
        losses=loss,
        curve=curve,
    )


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


def _thin(x: np.ndarray, position: float) -> bool:
    """Whether a single model size, or none, lies beyond the minimum on some side."""
    sizes = np.unique(x)
    return bool(min((sizes < position).sum(), (sizes > position).sum()) < 2)


def _proposal(x: np.ndarray, position: float) -> tuple[float, ...]:
    """Two model sizes beyond the edge that the minimum leans to, at the grid's own ratio."""
    sizes = np.unique(x)
    ratio = max(float(np.median(np.diff(sizes))), np.log(1.4))
    low = position - sizes[0] < sizes[-1] - position
    edge, step = (sizes[0], -ratio) if low else (sizes[-1], ratio)
    return tuple(float(np.exp(edge + k * step)) for k in (1, 2))


def akima(x: np.ndarray, loss: np.ndarray) -> Akima1DInterpolator:
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
    values = akima(x, loss)(fine)
    best = int(values.argmin())
    position = float(fine[best]) if 0 < best < len(fine) - 1 else float("nan")
    sigma = float("nan")
    if np.isfinite(noise):
        draws = np.random.default_rng(0).normal(size=(200, len(x)))
        minima_of_draws = [fine[akima(x, loss + noise * z)(fine).argmin()] for z in draws]
        sigma = float(np.std(minima_of_draws))
    return position, float(values[best]), np.array([]), sigma
