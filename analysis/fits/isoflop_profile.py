"""One budget's IsoFLOP profile: its runs, the fitted curve, the minimum and its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.fits.isoflop_akima import akima
from analysis.fits.isoflop_shapes import Shape


@dataclass(frozen=True)
class IsoflopProfile:
    """The loss of one budget's runs against N, and its minimum.

    `sigma` is the standard error of log n_opt, `interval` its 95 % interval as N; `d_interval` and
    `loss_interval` are those of d_opt and of the loss there. `open_ends` says of each end of
    `interval` that it is only where the sizes that ran end. `bracketed` is False where runs on a
    side of the minimum are missing, for the `reason` given; `thin` says that a single size holds
    one side; `propose` names sizes that would bracket it better. `slope` is d log D / d log N along
    the runs. Losses have the unit of the input.
    """

    flops: float
    n_opt: float
    d_opt: float
    loss: float
    sigma: float
    interval: tuple[float, float]
    d_interval: tuple[float, float]
    loss_interval: tuple[float, float]
    open_ends: tuple[bool, bool]
    bracketed: bool
    reason: str
    thin: bool
    propose: tuple[float, ...]
    coefficients: np.ndarray
    n_params: np.ndarray
    n_tokens: np.ndarray
    losses: np.ndarray
    curve: str
    slope: float

    @property
    def drawable(self) -> bool:
        """Whether there is a curve to draw."""
        return self.curve == "akima" or bool(np.all(np.isfinite(self.coefficients)))

    def fitted_loss(self, n_params: np.ndarray) -> np.ndarray:
        """The curve at some model sizes; NaN beyond the runs that a softened one was fitted to."""
        x = np.log(n_params)
        if self.curve == "akima":
            return akima(np.log(self.n_params), self.losses)(x)
        at = x - np.log(self.n_params).mean()
        if self.curve == "softened":
            return np.interp(at, *self.coefficients, left=np.nan, right=np.nan)
        return np.polyval(self.coefficients, at)


def read_profile(
    flops: float,
    columns: Sequence[np.ndarray],
    shape: Shape,
    height_sigma: float,
    curve: str,
    freedom: float,
) -> IsoflopProfile:
    """What a fitted shape says of one budget.

    Args:    columns: n_params, n_tokens and loss, (runs,) each; shape: about the mean of log N.
             height_sigma: standard error of the log of its height. freedom: degrees of freedom of
             these errors, for Student's t.
    """
    order = np.argsort(columns[0], kind="stable")
    n_params, n_tokens, loss = (column[order] for column in columns)
    x, log_d = np.log(n_params), np.log(n_tokens)
    position = shape.position + float(x.mean())
    reason = _unbracketed(x, loss, position)
    shown = position if np.isfinite(position) else float(x[loss.argmin()])
    slope = float(np.polyfit(x, log_d, 1)[0])
    log_d_opt = float(np.interp(shown, x, log_d))
    quantile = float(stats.t.ppf(0.975, df=max(freedom, 1)))
    low, high, open_ends = _interval(shape, x, shown, quantile)
    height = shape.height if np.isfinite(position) else float(loss.min())
    lift = float(np.exp(quantile * height_sigma)) if np.isfinite(position) else float("nan")
    d_ends = [float(np.exp(log_d_opt + slope * (end - shown))) for end in (low, high)]
    return IsoflopProfile(
        flops=flops,
        n_opt=float(np.exp(shown)),
        d_opt=float(np.exp(log_d_opt)),
        loss=height,
        sigma=shape.sigma,
        interval=(float(np.exp(low)), float(np.exp(high))),
        d_interval=(min(d_ends), max(d_ends)),
        loss_interval=(height / lift, height * lift),
        open_ends=open_ends,
        bracketed=not reason,
        reason=reason,
        thin=_thin(x, shown),
        propose=_proposal(x, shown) if reason or _thin(x, shown) else (),
        coefficients=shape.coefficients,
        n_params=n_params,
        n_tokens=n_tokens,
        losses=loss,
        curve=curve,
        slope=slope,
    )


def _interval(
    shape: Shape, x: np.ndarray, shown: float, quantile: float
) -> tuple[float, float, tuple[bool, bool]]:
    """The 95 % interval of log n_opt, and which of its ends are only where the runs end."""
    if shape.interval is None:
        half = shape.sigma * quantile
        return shown - half, shown + half, (False, False)
    low, high = (end + float(x.mean()) for end in shape.interval)
    open_ends = (bool(np.isneginf(low)), bool(np.isposinf(high)))
    return max(low, float(x[0])), min(high, float(x[-1])), open_ends


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
