"""One mode that moves with N against two whose weight moves (Zhao et al. 2025), by likelihood.

A mode m with concentration k is Beta(1 + k m, 1 + k (1 - m)), which never has two modes itself.

    one moving mode:    m(N) = low + (high - low) expit(steepness (ln N - centre)), one k
    two fixed modes:    low and high, each with its k; weight expit(steepness (ln N - centre))
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import digamma, expit, gammaln, logit

Floats = NDArray[np.float64]

N_SIMULATED = 99

_SHARPEST = 200.0
"""Bound of a mode's concentration: differences of a few hundredths are no modes of their own."""

_STEEPNESS, _CENTRE = 4, 5
"""Where the parameters of two fixed modes have those of the weight."""

_STEEPEST = (-4.0, 5.0)
"""Ends of the search for the steepness's interval, as `_steepness` takes it, per unit of ln N."""

_RULED_OUT = 1.92
"""Half of chi squared's 95 % quantile at one degree of freedom."""

_N_PROFILE = 25

_EDGE = 1e-3
"""Accuracies are kept this far from 0 and 1, where densities are 0 or infinite."""


@dataclass(frozen=True)
class Mixture:
    """Two fixed modes `low` and `high`; a share of expit(steepness (ln N - ln half)) in the upper.

    `half` is the scale at which half of the seeds have the ability, `width` the number of decades
    from 10 % to 90 % of them; their 95 % intervals are those of the profile likelihood, with ends
    of 0 or infinity where the runs leave them open. `log_ratio` is this model's log-likelihood less
    that of one moving mode, `p_value` the share of data simulated from one moving mode whose ratio
    is as large.
    """

    low: float
    high: float
    half: float
    steepness: float
    log_ratio: float
    p_value: float
    half_interval: tuple[float, float]
    width_interval: tuple[float, float]

    @property
    def width(self) -> float:
        return _width(self.steepness)

    def share(self, scale: ArrayLike) -> Floats:
        """Expected share of seeds that have the ability."""
        return expit(self.steepness * np.log(np.asarray(scale, float) / self.half))


def two_modes(
    scale: ArrayLike, values: ArrayLike, rng: np.random.Generator, n_simulated: int = N_SIMULATED
) -> Mixture:
    """Two fixed modes with a moving weight, tested against one moving mode by simulation.

    The models are not nested, so the ratio of their likelihoods has no standard law: data are
    simulated from the fitted moving mode, at the same sizes, and both models fitted to them.

    Args:    scale, values: one entry a run, shape (runs,); values in [0, 1], scales not all alike.
    """
    log_x = np.log(np.asarray(scale, float))
    unit = float(log_x.std())
    x, y = (log_x - log_x.mean()) / unit, np.asarray(values, float)
    moving, fixed = _fit(_moving, x, y, _moving_starts()), _fit(_fixed, x, y, _fixed_starts())
    ratio = moving.cost - fixed.cost
    n_as_large = 0
    for _ in range(n_simulated):
        drawn = _draw_moving(moving.params, x, rng)
        one = _fit(_moving, x, drawn, [moving.params])
        two = _fit(_fixed, x, drawn, [fixed.params, _fixed_starts()[0]])
        n_as_large += one.cost - two.cost >= ratio
    low, high, *_, raw, centre = fixed.params
    bottom = float(expit(low))
    mean, inside = float(log_x.mean()), (float(x.min()) - 1, float(x.max()) + 1)
    half = _profile(fixed, _CENTRE, inside, x, y)
    steep = _profile(fixed, _STEEPNESS, _STEEPEST, x, y)
    return Mixture(
        low=bottom,
        high=bottom + (1 - bottom) * float(expit(high)),
        half=_scale(centre * unit + mean),
        steepness=_steepness(raw) / unit,
        log_ratio=float(ratio),
        p_value=(1 + n_as_large) / (1 + n_simulated),
        half_interval=(_scale(half[0] * unit + mean), _scale(half[1] * unit + mean)),
        width_interval=(
            _width(_steepness(steep[1]) / unit),
            _width(_steepness(steep[0]) / unit),
        ),
    )


def _width(steepness: float) -> float:
    return 2 * math.log(9) / steepness / math.log(10) if steepness else math.inf


def _scale(log_x: float) -> float:
    return math.exp(max(log_x, -700.0)) if log_x < 700 else math.inf


@dataclass(frozen=True)
class _Fit:
    params: Floats
    cost: float


Density = Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]
"""(parameters, standardised ln N, values) -> log densities (n,) and their gradient (params, n)."""


def _fit(density: Density, x: Floats, y: Floats, starts: list[Floats]) -> _Fit:
    """Maximum likelihood from several starts; `cost` is the negative log-likelihood."""
    inside = np.clip(y, _EDGE, 1 - _EDGE)

    def cost(params: Floats) -> tuple[float, Floats]:
        value, gradient = density(params, x, inside)
        # A weak pull to the centre keeps parameters that the data leave open from drifting off.
        return (
            float(-value.sum() + 1e-3 * (params**2).sum()),
            -gradient.sum(axis=1) + 2e-3 * params,
        )

    found = [minimize(cost, one, jac=True, method="L-BFGS-B") for one in starts]
    best = min(found, key=lambda one: one.fun)
    return _Fit(best.x, float(best.fun))


def _profile(
    best: _Fit, which: int, within: tuple[float, float], x: Floats, y: Floats
) -> tuple[float, float]:
    """Values of one parameter of two fixed modes that the likelihood doesn't rule out at 95 %.

    Each is held in turn while the others are fitted. Without the profile, shares of 0 and 1 alone
    would place the shift exactly, though it may lie anywhere between two sizes.

    Args:    within: where the search ends; beyond it the parameter is open, -inf or inf.
    """
    others = [i for i in range(len(best.params)) if i != which]
    y = np.clip(y, _EDGE, 1 - _EDGE)

    def fitted(held: float, start: Floats) -> tuple[float, Floats]:
        def cost(rest: Floats) -> tuple[float, Floats]:
            value, gradient = _fixed(np.insert(rest, which, held), x, y)
            return (
                float(-value.sum() + 1e-3 * (rest**2).sum()),
                -gradient.sum(axis=1)[others] + 2e-3 * rest,
            )

        found = minimize(cost, start, jac=True, method="L-BFGS-B")
        return float(found.fun), np.asarray(found.x)

    at = float(np.clip(best.params[which], *within))
    least, rest = fitted(at, best.params[others])

    def end(outermost: float) -> float:
        start, last, risen = rest, at, 0.0
        for held in np.linspace(at, outermost, _N_PROFILE)[1:]:
            cost, start = fitted(held, start)
            if cost - least >= _RULED_OUT:
                part = (_RULED_OUT - risen) / (cost - least - risen)
                return float(last + part * (held - last))
            last, risen = held, cost - least
        return math.copysign(math.inf, outermost - at)

    return end(within[0]), end(within[1])


def _moving(params: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    low, high, sharpness, raw, centre = params
    bottom, rise, sharp = expit(low), expit(high), expit(sharpness)
    steepness = _steepness(raw)
    place = steepness * (x - centre)
    share = expit(place)
    value, by_mode, by_k = _beta(y, bottom + (1 - bottom) * rise * share, _SHARPEST * sharp)
    slope = (1 - bottom) * rise * share * (1 - share)
    gradient = [
        by_mode * bottom * (1 - bottom) * (1 - rise * share),
        by_mode * (1 - bottom) * rise * (1 - rise) * share,
        by_k * _SHARPEST * sharp * (1 - sharp),
        by_mode * slope * place,
        -by_mode * slope * steepness,
    ]
    return value, np.array(gradient)


def _fixed(params: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    low, high, lower_k, upper_k, raw, centre = params
    bottom, rise = expit(low), expit(high)
    sharp = expit([lower_k, upper_k])
    steepness = _steepness(raw)
    place = steepness * (x - centre)
    lower, lower_mode, by_lower = _beta(y, np.full_like(y, bottom), _SHARPEST * sharp[0])
    top = np.full_like(y, bottom + (1 - bottom) * rise)
    upper, upper_mode, by_upper = _beta(y, top, _SHARPEST * sharp[1])
    # ln expit(-z) and ln expit(z), which stay finite where the share rounds to 0 or 1
    below, above = lower - np.logaddexp(0, place), upper - np.logaddexp(0, -place)
    value = np.logaddexp(below, above)
    mine = np.exp(above - value)
    moved = mine - expit(place)
    gradient = [
        bottom * (1 - bottom) * ((1 - mine) * lower_mode + mine * upper_mode * (1 - rise)),
        mine * upper_mode * (1 - bottom) * rise * (1 - rise),
        (1 - mine) * by_lower * _SHARPEST * sharp[0] * (1 - sharp[0]),
        mine * by_upper * _SHARPEST * sharp[1] * (1 - sharp[1]),
        moved * place,
        -moved * steepness,
    ]
    return value, np.array(gradient)


def _beta(y: Floats, mode: Floats, k: float) -> tuple[Floats, Floats, Floats]:
    """Log density of Beta(1 + k mode, 1 + k (1 - mode)), its derivatives by mode and by k."""
    a, b = 1 + k * mode, 1 + k * (1 - mode)
    up, down = np.log(y), np.log1p(-y)
    value = gammaln(a + b) - gammaln(a) - gammaln(b) + (a - 1) * up + (b - 1) * down
    by_a, by_b = up - digamma(a), down - digamma(b)
    return value, k * (by_a - by_b), digamma(a + b) + mode * by_a + (1 - mode) * by_b


def _draw_moving(params: Floats, x: Floats, rng: np.random.Generator) -> Floats:
    low, high, sharpness, raw, centre = params
    bottom = expit(low)
    mode = bottom + (1 - bottom) * expit(high) * expit(_steepness(raw) * (x - centre))
    k = _SHARPEST * expit(sharpness)
    return rng.beta(1 + k * mode, 1 + k * (1 - mode))


def _steepness(raw: float) -> float:
    return math.exp(min(raw, 20.0))


def _moving_starts() -> list[Floats]:
    """Parameters: lower level, rise above it, concentration, steepness, centre."""
    return [
        np.array([-4.0, 3.0, sharp, steep, 0.0]) for sharp in (-4.0, -1.0) for steep in (0.5, 2.0)
    ]


def _fixed_starts() -> list[Floats]:
    """Parameters: lower mode, rise to the upper one, their concentrations, steepness, centre."""
    start = [float(logit(0.05)), float(logit(0.9)), -2.0, -2.0]
    return [np.array([*start, steep, centre]) for steep, centre in ((1.0, 0.0), (2.0, 0.5))]
