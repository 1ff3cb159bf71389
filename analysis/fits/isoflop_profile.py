"""One budget's valley: its runs, the fitted profile, the minimum and how well runs hold it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.fits.isoflop_shapes import Shape, akima


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
        if self.curve == "softened":
            # Runs beyond the window did not enter the fit, so nothing is drawn there.
            at = x - np.log(self.n_params).mean()
            return np.interp(at, *self.coefficients, left=np.nan, right=np.nan)
        return np.polyval(self.coefficients, x - np.log(self.n_params).mean())


def read_valley(
    flops: float, columns: Sequence[np.ndarray], shape: Shape, curve: str, freedom: float
) -> Valley:
    """What a fitted shape says of one budget.

    Args:    columns: n_params, n_tokens and loss, (runs,) each; shape: about the mean of log N.
             freedom: degrees of freedom of the shape's error, for Student's t.
    """
    order = np.argsort(columns[0], kind="stable")
    n_params, n_tokens, loss = (column[order] for column in columns)
    x = np.log(n_params)
    position = shape.position + float(x.mean())
    reason = _unbracketed(x, loss, position)
    shown = position if np.isfinite(position) else float(x[loss.argmin()])
    half = shape.sigma * float(stats.t.ppf(0.975, df=max(freedom, 1)))
    return Valley(
        flops=flops,
        n_opt=float(np.exp(shown)),
        d_opt=float(np.exp(np.interp(shown, x, np.log(n_tokens)))),
        loss=shape.height if np.isfinite(position) else float(loss.min()),
        sigma=shape.sigma,
        interval=(float(np.exp(shown - half)), float(np.exp(shown + half))),
        bracketed=not reason,
        reason=reason,
        thin=_thin(x, shown),
        propose=_proposal(x, shown) if reason or _thin(x, shown) else (),
        coefficients=shape.coefficients,
        n_params=n_params,
        n_tokens=n_tokens,
        losses=loss,
        curve=curve,
    )


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
