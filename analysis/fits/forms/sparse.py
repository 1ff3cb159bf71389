"""A loss in parameters, tokens and sparsity, of mixtures of experts (Abnar et al. 2025):

    L = E + A/N^alpha + B/D^beta + C/(1-S)^lambda + F/((1-S)^delta N^gamma)

N counts all parameters, S is the share of them (or of the experts) that a token does not use.
"""

from dataclasses import astuple, dataclass

import numpy as np

from analysis.errors import FitError, Numbers
from analysis.fits.forms.models import bounded_exp
from analysis.fits.forms.solver import search
from analysis.fits.parametric.fit import fit_parametric
from analysis.fits.parametric.huber import LogRuns, Penalty

N_FREE = 10

NARROW = Penalty(1e-3, residual="log")


@dataclass(frozen=True)
class SparseLaw:
    """The surface; `lam` is lambda. E and C are one where lambda is near 0."""

    E: float
    A: float
    B: float
    C: float
    F: float
    alpha: float
    beta: float
    lam: float
    delta: float
    gamma: float

    def loss(self, n_params: Numbers, n_tokens: Numbers, sparsity: Numbers) -> Numbers:
        """The loss at total parameters, tokens and sparsity, which broadcast."""
        dense = 1.0 - np.asarray(sparsity, dtype=float)
        return (
            self.E
            + self.A / n_params**self.alpha
            + self.B / n_tokens**self.beta
            + self.C / dense**self.lam
            + self.F / (dense**self.delta * n_params**self.gamma)
        )


@dataclass(frozen=True)
class SparseFit:
    """A fitted law, its rms of log residuals, and which exponents lie at a bound."""

    law: SparseLaw
    rms: float
    at_bound: tuple[str, ...]


BOUNDS = {"alpha": (0.02, 5.0), "beta": (0.02, 5.0), "lam": (-2.0, 2.0), "delta": (-2.0, 2.0),
          "gamma": (0.01, 3.0)}  # fmt: skip


def fit_sparse(
    n_params: np.ndarray,
    n_tokens: np.ndarray,
    sparsity: np.ndarray,
    loss: np.ndarray,
    start: SparseLaw | None = None,
    penalty: Penalty = NARROW,
) -> SparseFit:
    """The law through runs, (runs,) each.

    Args:
        n_params: All parameters.
        n_tokens: Tokens trained on.
        sparsity: In [0, 1), at three values or more.
        loss: Losses, > 0.
        start: Where to search from, for runs that differ little from those of a known fit.
        penalty: The objective.

    Raises:
        FitError: Fewer runs than parameters, sparsity outside [0, 1) or at fewer than three values.
    """
    if len(loss) < N_FREE + 2:
        raise FitError(f"{len(loss)} runs; a law of N, D and sparsity takes at least {N_FREE + 2}")
    if not np.all((sparsity >= 0) & (sparsity < 1)):
        raise FitError("sparsity must lie in [0, 1): the share of parameters that a token skips")
    if len(np.unique(np.round(sparsity, 3))) < 3:
        raise FitError("sparsity has fewer than three values, which its law needs")
    runs, w = LogRuns.of(n_params, n_tokens, loss), np.log1p(-sparsity)

    def model(theta: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _model(theta, u, v, w)

    starts = _starts(runs) if start is None else _theta(start, runs)[None]
    low, high = float(runs.y.min()), float(runs.y.max())
    free = np.array([low - 12, low - 12, low - 12, low - 12, low - 12]), np.full(5, high + 6)
    ends = np.array(list(BOUNDS.values())).T
    box = np.append(free[0], ends[0]), np.append(free[1], ends[1])
    found = search(model, runs, np.clip(starts, *box), box, penalty)
    law = _law(found.theta, runs)
    left = runs.y - np.log(np.asarray(law.loss(n_params, n_tokens, sparsity)))
    held = tuple(
        name
        for name, value in zip(BOUNDS, found.theta[5:], strict=True)
        if min(abs(value - end) for end in BOUNDS[name]) < 1e-3
    )
    return SparseFit(law, float(np.sqrt(np.mean(left**2))), held)


def _model(
    theta: np.ndarray, u: np.ndarray, v: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """log L and its slopes by (log E, log A, log B, log C, log F, alpha, beta, lambda, delta,
    gamma); w is log(1 - S).
    """
    e, a, b, c, f, alpha, beta, lam, delta, gamma = (theta[:, i, None] for i in range(N_FREE))
    irreducible, size, data = (
        np.exp(e) + 0 * u,
        bounded_exp(a - alpha * u),
        bounded_exp(b - beta * v),
    )
    sparse, both = bounded_exp(c - lam * w), bounded_exp(f - delta * w - gamma * u)
    total = irreducible + size + data + sparse + both
    slopes = np.stack(
        [irreducible, size, data, sparse, both,
         -u * size, -v * data, -w * sparse, -w * both, -u * both], axis=1,
    )  # fmt: skip
    return np.log(total), slopes / total[:, None]


def _starts(runs: LogRuns) -> np.ndarray:
    """From the additive law of N and D, with a part of E and of A/N^alpha given to sparsity."""
    fit = fit_parametric(
        np.exp(runs.u + runs.u_mean), np.exp(runs.v + runs.v_mean), runs.loss, delta=1e-2
    )
    if np.isfinite(fit.E) and fit.E > 0:
        e, a, b, alpha, beta = fit.theta
    else:
        e, a, b, alpha, beta = (*np.log(runs.loss.min() * np.array([0.6, 0.2, 0.2])), 0.3, 0.3)
    alpha, beta = np.clip([alpha, beta], 0.05, 2.0)
    return np.array([
        [e + np.log(0.8), a - np.log(2), b, e + np.log(0.2), a - np.log(2), alpha, beta, lam, delta,
         share * alpha]
        for lam in (-0.3, 0.1, 0.5) for delta in (0.1, 0.6) for share in (0.4, 1.0)
    ])  # fmt: skip


def _law(theta: np.ndarray, runs: LogRuns) -> SparseLaw:
    e, a, b, c, f, alpha, beta, lam, delta, gamma = theta
    values = np.exp(
        [e, a + alpha * runs.u_mean, b + beta * runs.v_mean, c, f + gamma * runs.u_mean]
    )
    return SparseLaw(*values.tolist(), *map(float, (alpha, beta, lam, delta, gamma)))


def _theta(law: SparseLaw, runs: LogRuns) -> np.ndarray:
    E, A, B, C, F, alpha, beta, lam, delta, gamma = astuple(law)
    logs = np.log(np.maximum([E, A, B, C, F], 1e-300))
    centred = [0.0, alpha * runs.u_mean, beta * runs.v_mean, 0.0, gamma * runs.u_mean]
    return np.array([*(logs - centred), alpha, beta, lam, delta, gamma])
