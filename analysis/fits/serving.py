"""Models that are cheaper to serve: the least total cost of training and inference for one quality.

Under L(N, D) = E + A/N^alpha + B/D^beta a loss L can be had from many pairs of N and D. Training
costs k N^gamma D FLOPs and inference a third of that per token, since a token that is only read
forward needs one of the three products of a training step:

    total = k N^gamma (D + D_inf / 3)        6 N D + 2 N D_inf under the rule of thumb

Source: Sardana et al. 2024, "Beyond Chinchilla-Optimal".
"""

from dataclasses import dataclass

import numpy as np

from analysis.errors import Numbers
from analysis.fits.surface import Surface

FORWARD = 1 / 3
"""Cost of a token at inference over its cost in training, where backward is twice forward."""

_LARGEST_LOGIT, _HALVINGS = 60.0, 70


@dataclass(frozen=True)
class ServingOptimum:
    """The cheapest model of one quality; NaN where the loss is not above the surface's E.

    Attributes:
        n_params: Parameters, as the surface counts them.
        n_tokens: Training tokens.
        training_flops: FLOPs of its training.
        total_flops: The same with its inference.
    """

    n_params: Numbers
    n_tokens: Numbers
    training_flops: Numbers
    total_flops: Numbers


def cheapest_to_serve(
    surface: Surface, loss: Numbers, inference_tokens: Numbers = 0.0
) -> ServingOptimum:
    """N and D of one loss at the least cost of training plus inference.

    With s the share of A/N^alpha in the reducible loss, the optimum is where
    alpha s / (beta (1 - s)) = gamma (1 + D_inf / (3 D)): the left side rises with s and the right
    side falls, so that one s solves it, found by bisection.

    Args:
        surface: The law; parameters may be arrays of draws.
        loss: The quality, in the unit of the fitted losses.
        inference_tokens: Tokens over the model's life, >= 0; 0 gives the compute-optimal model.

    Returns:
        The optimum, in the shape that surface, loss and tokens broadcast to.
    """
    reducible = np.asarray(loss, dtype=float) - surface.E
    demand = FORWARD * np.asarray(inference_tokens, dtype=float)
    reachable = reducible > 0
    gap = np.where(reachable, reducible, np.nan)
    shape = np.broadcast_shapes(np.shape(gap), np.shape(demand), np.shape(surface.alpha))
    low, high = np.full(shape, -_LARGEST_LOGIT), np.full(shape, _LARGEST_LOGIT)
    for _ in range(_HALVINGS):
        logit = (low + high) / 2
        tokens = (surface.B / (gap * _share(-logit))) ** (1 / surface.beta)
        left = np.log(surface.alpha / surface.beta) + logit
        above = left > np.log(surface.cost.gamma * (1 + demand / tokens))
        low, high = np.where(above, low, logit), np.where(above, logit, high)
    logit = (low + high) / 2
    n_params = (surface.A / (gap * _share(logit))) ** (1 / surface.alpha)
    n_tokens = (surface.B / (gap * _share(-logit))) ** (1 / surface.beta)
    per_token = surface.cost.flops(n_params, 1.0)
    training = per_token * n_tokens
    return ServingOptimum(n_params, n_tokens, training, training + per_token * demand)


def tokens_of_loss(surface: Surface, loss: Numbers, n_params: Numbers) -> Numbers:
    """Training tokens with which N parameters reach a loss; infinite where none do."""
    left = np.asarray(loss - surface.E - surface.A / np.asarray(n_params) ** surface.alpha)
    with np.errstate(all="ignore"):
        return np.where(left > 0, surface.B / np.maximum(left, 0), np.inf) ** (1 / surface.beta)


@dataclass(frozen=True)
class SizePrice:
    """A model `factor` times the compute-optimal size that reaches the same loss.

    Attributes:
        factor: N over the compute-optimal N of that loss.
        compute: Its training FLOPs over the least; infinite where no number of tokens reaches it.
        tokens: Its training tokens over those of the optimum.
        pays_from: Inference tokens, over the optimum's training tokens, for which it is the
            cheapest of all sizes; NaN above the optimal size, which no demand makes cheaper.
    """

    factor: Numbers
    compute: Numbers
    tokens: Numbers
    pays_from: Numbers


def size_price(surface: Surface, factor: Numbers) -> SizePrice:
    """The price of a size other than the optimal one, which is the same at every loss above E.

    At the optimum the size term is the share gamma beta / (alpha + gamma beta) of the reducible
    loss and is the same at every loss, so the price depends on the exponents alone.
    """
    alpha, beta, gamma = surface.alpha, surface.beta, surface.cost.gamma
    share = gamma * beta / (alpha + gamma * beta)
    size = share * np.asarray(factor, dtype=float) ** -alpha
    with np.errstate(all="ignore"):  # sizes that cannot reach the loss become infinite or NaN
        left = np.where(size < 1, 1 - size, 0.0)
        tokens = (left / (1 - share)) ** (-1 / beta)
        ratio = alpha * size / (gamma * beta * left)
        pays = np.where(ratio >= 1 - 1e-9, tokens * np.maximum(ratio - 1, 0) / FORWARD, np.nan)
        compute = np.asarray(factor) ** gamma * tokens
    return SizePrice(factor, compute, tokens, np.where(np.isfinite(tokens), pays, np.nan))


def _share(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))
