"""The second step from loss to accuracy, by a sigmoid or by independent tokens.

    sigmoid   accuracy = bottom + (top - bottom) / (1 + exp(k (x - x0)))
    anchored  the same, with an accuracy of 1 at no loss for one more point    Bhagia et al. 2024
    tokens    accuracy = bottom + (1 - bottom) exp(-L x)                       Schaeffer et al. 2023

x is the loss of the right answer (bits per byte, or nats per token), `bottom` what chance gives,
and L the number of tokens that must all be right. Least squares on accuracies, all resamples at
once.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.errors import FitError, Status
from analysis.stats.newton import minimise

KINDS = ("sigmoid", "anchored", "tokens")
SIGMOID = ("top", "bottom", "log_k", "x0")
NAMES = {"sigmoid": SIGMOID, "anchored": SIGMOID, "tokens": ("bottom", "log_L")}
FEWEST = 6
"""Points below which a sigmoid of four parameters is not fitted."""

MOST_BY_CHANCE = 1e-3
"""P value of the F test against one accuracy for all losses, above which nothing rises."""


@dataclass(frozen=True)
class SecondStep:
    """A fitted second step; `theta` (p,) are its parameters by NAMES, in units of the losses'
    mean and standard deviation for x0 and k.
    """

    kind: str
    theta: np.ndarray
    held: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray]
    centre: float
    scale: float
    rms: float
    freedom: int
    status: Status
    reason: str = ""

    def __call__(self, loss: np.ndarray, thetas: np.ndarray | None = None) -> np.ndarray:
        """Accuracy at losses (...,): of the fit, or of a vector of parameters for each loss."""
        theta = self.theta if thetas is None else thetas
        z = self._units(np.asarray(loss, dtype=float))
        return _value(self.kind, np.atleast_2d(theta), np.atleast_1d(z)[:, None])[:, 0]

    @property
    def parameters(self) -> dict[str, float]:
        """By name, in the unit of the loss."""
        if self.kind == "tokens":
            return {"bottom": float(self.theta[0]), "L": float(np.exp(self.theta[1])) / self.scale}
        top, bottom, log_k, x0 = map(float, self.theta)
        return {"top": top, "bottom": bottom, "k": float(np.exp(log_k)) / self.scale,
                "x0": self.centre + self.scale * x0}  # fmt: skip

    @property
    def sd(self) -> float:
        """Scatter of accuracies about the step, corrected for its free parameters."""
        return self.rms * float(np.sqrt((self.freedom + (~self.held).sum()) / max(self.freedom, 1)))

    def _units(self, loss: np.ndarray) -> np.ndarray:
        return loss / self.scale if self.kind == "tokens" else (loss - self.centre) / self.scale


def fit_second_step(
    loss: np.ndarray, accuracy: np.ndarray, kind: str = "sigmoid", bottom: float | None = None
) -> SecondStep:
    """Accuracy as a function of the loss.

    Args:
        loss: Losses of the task's answers, (points,), > 0.
        accuracy: In [0, 1], (points,).
        kind: sigmoid, anchored or tokens.
        bottom: What chance gives, held; None leaves the sigmoid's lower end free, and the tokens'
            at 0.

    Returns:
        The step; `degenerate` where accuracies do not rise as losses fall, or hardly beyond their
        scatter.

    Raises:
        FitError: An unknown kind, too few points, values out of range.
    """
    if kind not in KINDS:
        raise FitError(f"second step {kind!r} is unknown; expected one of {', '.join(KINDS)}")
    x, y = np.asarray(loss, dtype=float), np.asarray(accuracy, dtype=float)
    if len(x) < FEWEST:
        raise FitError(f"{len(x)} points; a second step needs at least {FEWEST}")
    if not (np.all(np.isfinite(x) & (x > 0)) and np.all((y >= 0) & (y <= 1))):
        raise FitError("a second step needs positive losses and accuracies between 0 and 1")
    centre, scale = float(x.mean()), float(x.std())
    if scale <= 1e-9 * centre:
        raise FitError("all points have one loss; train models of other losses")
    z = x / scale if kind == "tokens" else (x - centre) / scale
    lower, upper = _box(kind, y, bottom)
    held = np.array([name == "bottom" and (bottom is not None or kind == "tokens")
                     for name in NAMES[kind]])  # fmt: skip
    theta = _search(
        kind, *_anchored(kind, z, y, np.ones((1, len(y))), centre, scale), _starts(kind, y, bottom),
        (lower, upper), held,
    )  # fmt: skip
    residual = y - _value(kind, theta, z[None])[0]
    rms, freedom = float(np.sqrt(np.mean(residual**2))), len(y) - int((~held).sum())
    status, reason = _conclusion(z, y, rms, freedom)
    return SecondStep(
        kind, theta[0], held, (lower, upper), centre, scale, rms, freedom, status, reason
    )


def refit_second_step(
    step: SecondStep, loss: np.ndarray, accuracy: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Parameters (draws, p) of the same step under other weights (draws, points)."""
    z = step._units(np.asarray(loss, dtype=float))
    starts = np.repeat(step.theta[None], len(weights), axis=0)
    y = np.asarray(accuracy, dtype=float)
    points = _anchored(step.kind, z, y, weights, step.centre, step.scale)
    return _minima(step.kind, *points, starts, step.bounds, step.held)[0]


def _anchored(
    kind: str, z: np.ndarray, y: np.ndarray, weights: np.ndarray, centre: float, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses, accuracies and weights (draws, points), with the point of no loss where it counts."""
    if kind != "anchored":
        return z, y, weights
    return (
        np.append(z, -centre / scale),
        np.append(y, 1.0),
        np.append(weights, np.ones((len(weights), 1)), axis=1),
    )


def _box(kind: str, y: np.ndarray, bottom: float | None) -> tuple[np.ndarray, np.ndarray]:
    low = 0.0 if bottom is None else bottom
    if kind == "tokens":
        return np.array([low, -5.0]), np.array([low, 7.0])
    high = min(float(y.min()) + 0.05, 0.95) if bottom is None else bottom
    top = min(max(float(y.max()) - 0.05, high + 0.01), 1.0)
    return np.array([top, low, -3.0, -8.0]), np.array([1.0, high, 3.5, 4.0])


def _starts(kind: str, y: np.ndarray, bottom: float | None) -> np.ndarray:
    low = 0.0 if bottom is None else bottom
    if kind == "tokens":
        return np.array([[low, level] for level in (-2.0, 0.0, 2.0)])
    own = max(float(y.min()) - 0.02, 0.0) if bottom is None else bottom
    return np.array([
        [top, own, log_k, x0]
        for top in ((float(y.max()) + 1) / 2, 1.0)
        for log_k in (0.0, 1.0)
        for x0 in (-3.0, -1.0, 0.0)
    ])  # fmt: skip


def _search(
    kind: str, z: np.ndarray, y: np.ndarray, weights: np.ndarray, starts: np.ndarray,
    box: tuple[np.ndarray, np.ndarray], held: np.ndarray,
) -> np.ndarray:  # fmt: skip
    theta, value = _minima(kind, z, y, weights.repeat(len(starts), axis=0), starts, box, held)
    return theta[[int(value.argmin())]]


def _minima(
    kind: str, z: np.ndarray, y: np.ndarray, weights: np.ndarray, starts: np.ndarray,
    box: tuple[np.ndarray, np.ndarray], held: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    def derivatives(theta: np.ndarray, rows: np.ndarray):
        value, slopes = _value(kind, theta, z[None]), _slopes(kind, theta, z[None])
        r, w = value - y, weights[rows]
        gradient = (slopes * (w * r)[:, None]).sum(axis=2)
        hessian = (slopes * w[:, None]) @ np.swapaxes(slopes, 1, 2)
        return (w * r**2).sum(axis=1) / 2, gradient, hessian

    found = minimise(derivatives, starts, box, held, max_iterations=100, tolerance=1e-7)
    return found.theta, found.value


def _value(kind: str, theta: np.ndarray, z: np.ndarray) -> np.ndarray:
    if kind == "tokens":
        bottom, log_length = (theta[:, i, None] for i in range(2))
        return bottom + (1 - bottom) * np.exp(-np.exp(log_length) * z)
    top, bottom, log_k, x0 = (theta[:, i, None] for i in range(4))
    return bottom + (top - bottom) * _sigmoid(-np.exp(log_k) * (z - x0))


def _slopes(kind: str, theta: np.ndarray, z: np.ndarray) -> np.ndarray:
    if kind == "tokens":
        bottom, log_length = (theta[:, i, None] for i in range(2))
        power = np.exp(log_length) * z
        kept = np.exp(-power)
        return np.stack([1 - kept, -(1 - bottom) * kept * power], axis=1)
    top, bottom, log_k, x0 = (theta[:, i, None] for i in range(4))
    k = np.exp(log_k)
    share = _sigmoid(-k * (z - x0))
    bend = (top - bottom) * share * (1 - share)
    return np.stack([share, 1 - share, -bend * k * (z - x0), bend * k], axis=1)


def _sigmoid(power: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(power, -60, 60)))


def _conclusion(z: np.ndarray, y: np.ndarray, rms: float, freedom: int) -> tuple[Status, str]:
    if np.ptp(y) == 0 or np.corrcoef(z, y)[0, 1] >= 0:
        return "degenerate", "accuracies do not rise as losses fall"
    explained = max(len(y) - freedom - 1, 1)
    ratio = (float(np.var(y)) / max(rms**2, 1e-300) - 1) * freedom / explained
    if not freedom > 0 or stats.f.sf(ratio, explained, freedom) > MOST_BY_CHANCE:
        return "degenerate", (
            f"accuracies range over {np.ptp(y):.2g} and scatter by {rms:.2g} about the fit, so no "
            f"rise is told from noise; evaluate models of lower loss"
        )
    return "converged", ""
