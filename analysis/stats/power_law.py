"""Power laws y = k x^p, fitted by (weighted) least squares on logarithms."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.errors import FitError, Numbers


@dataclass(frozen=True)
class PowerLaw:
    """y = coefficient * x^exponent; `covariance` (2, 2) is of (log coefficient, exponent).

    `freedom` is the degrees of freedom that the covariance was estimated with, for Student's t.
    """

    coefficient: float
    exponent: float
    covariance: np.ndarray
    n_points: int
    freedom: float

    def __call__(self, x: Numbers) -> Numbers:
        return self.coefficient * np.asarray(x, dtype=float) ** self.exponent

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the exponent by Student's t.

        NaN with two points and no stated errors, which determine a line but not its uncertainty.
        """
        half = self._quantile(level) * float(np.sqrt(self.covariance[1, 1]))
        return self.exponent - half, self.exponent + half

    def band(self, x: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Pointwise interval of the law at x, each (points,)."""
        design = np.stack([np.ones_like(x, dtype=float), np.log(x)], axis=1)
        variance = np.einsum("ij,jk,ik->i", design, self.covariance, design)
        factor = np.exp(self._quantile(level) * np.sqrt(variance))
        return self(x) / factor, self(x) * factor

    def _quantile(self, level: float) -> float:
        return float(stats.t.ppf(0.5 + level / 2, df=max(self.freedom, 1)))


def fit_power_law(
    x: np.ndarray,
    y: np.ndarray,
    errors: np.ndarray | None = None,
    freedom: float = np.inf,
) -> PowerLaw:
    """Least squares of log y on log x.

    Args:    x, y: (points,), > 0; errors: covariance of log y, (points, points), known to `freedom`
             degrees of freedom. Points are then weighted by their variances, and the law's
             covariance follows from `errors`, enlarged where the scatter exceeds them. Without, it
             follows from the scatter, with n - 2 degrees of freedom.
    Raises:  FitError: fewer than two distinct x, or values that are not positive and finite.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if not np.all(np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)):
        raise FitError("a power law needs positive finite x and y; filter the other points out")
    if len(np.unique(x)) < 2:
        raise FitError(f"a power law needs at least 2 distinct x; got {len(np.unique(x))}")
    log_x, log_y = np.log(x), np.log(y)
    weights = np.ones_like(x) if errors is None else 1 / np.diag(errors)
    centre = float(np.average(log_x, weights=weights))
    shifted = log_x - centre
    # Rows of the estimator: level at the centre and exponent, each linear in log y.
    estimator = np.stack(
        [weights / weights.sum(), weights * shifted / float(np.sum(weights * shifted**2))]
    )
    level, exponent = (float(value) for value in estimator @ log_y)
    scatter = float(np.sum(weights * (log_y - level - exponent * shifted) ** 2))
    scale = _error_scale(scatter, len(x), errors is not None)
    stated = np.eye(len(x)) if errors is None else errors
    to_origin = np.array([[1.0, -centre], [0.0, 1.0]])
    at_centre = scale * estimator @ stated @ estimator.T
    return PowerLaw(
        coefficient=float(np.exp(level - exponent * centre)),
        exponent=exponent,
        covariance=to_origin @ at_centre @ to_origin.T,
        n_points=len(x),
        freedom=freedom if errors is not None else len(x) - 2,
    )


def _error_scale(scatter: float, n_points: int, errors_known: bool) -> float:
    if n_points <= 2:
        return 1.0 if errors_known else float("nan")
    observed = scatter / (n_points - 2)
    return max(1.0, observed) if errors_known else observed
