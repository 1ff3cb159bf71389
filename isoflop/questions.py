"""Questions asked of a fitted law, in one call each; `isoflop.laws` holds the fits."""

import numpy as np

from analysis.errors import FitError, Numbers
from analysis.fits.serving import SizePrice
from analysis.fits.serving import size_price as price_on
from analysis.fits.surface import Surface
from analysis.studies.approaches.fitted_approach import FittedApproach
from analysis.studies.serving.serving import Quality, ServingPlan, asked_surface, plan_for


def cheapest_to_serve(
    fit: FittedApproach,
    inference_tokens: float,
    *,
    loss: float | None = None,
    flops: float | None = None,
) -> ServingPlan:
    """The model of one quality that costs least to train and to serve (Sardana et al. 2024).

    Args:
        fit: What `fit_parametric` returned; its resamples give the intervals.
        inference_tokens: Tokens that the model is to serve, >= 0.
        loss: The quality, in the unit of the fitted losses; or
        flops: a training budget, whose least loss is the quality.

    Returns:
        n_params, n_tokens, training_flops, total_flops and the share that it saves against the
        compute-optimal model of the same loss, `intervals` of these by name, and how far it lies
        `beyond` the runs; NaN with a `reason` where the loss lies below the irreducible loss.

    Raises:
        FitError: both or neither of loss and flops, or the fit has no loss surface.

    Examples:
        >>> import pandas as pd
        >>> from isoflop import Surface, cheapest_to_serve, fit_parametric
        >>> law = Surface(E=1.8, A=480.0, B=480.0, alpha=0.35, beta=0.35)
        >>> cells = [(n, d) for n in (1e7, 1e8, 1e9) for d in (1e9, 1e10, 1e11)]
        >>> runs = pd.DataFrame(cells, columns=["n_params", "n_tokens"])
        >>> runs["loss"] = law.loss(runs.n_params, runs.n_tokens)
        >>> plan = cheapest_to_serve(fit_parametric(runs), 1e10, flops=6e18)
        >>> f"{plan.n_params:.2e} parameters, {plan.n_tokens:.2e} tokens, saves {plan.saving:.0%}"
        '4.35e+08 parameters, 3.26e+09 tokens, saves 34%'
    """
    if (loss is None) == (flops is None):
        raise FitError(f"give one of loss and flops; got loss={loss} and flops={flops}")
    if not inference_tokens >= 0:
        raise FitError(f"inference_tokens={inference_tokens} must be 0 or more")
    nan = float("nan")
    quality = Quality(nan if loss is None else loss, nan if flops is None else flops)
    return plan_for(fit, quality, inference_tokens)


def size_price(fit: FittedApproach | Surface, factor: Numbers) -> SizePrice:
    """What a model other than the compute-optimal one costs to train for the same loss.

    Args:
        fit: What `fit_parametric` returned, or a `Surface`.
        factor: Its parameters over the optimal ones, > 0: a number or an array.

    Returns:
        `compute` and `tokens` of its training over the optimum's (infinite where it never reaches
        the loss), and `pays_from`: the served tokens, over the optimum's training tokens, for
        which it is the cheapest of all.

    Raises:
        FitError: the fit has no loss surface, or a factor that is not positive.

    Examples:
        >>> from isoflop import Surface, size_price
        >>> law = Surface(E=1.8, A=480.0, B=480.0, alpha=0.35, beta=0.35)
        >>> price = size_price(law, [0.5, 1.0, 2.0])
        >>> [round(float(x), 2) for x in price.compute]
        [1.25, 1.0, 1.15]
    """
    factor = np.asarray(factor, dtype=float)
    if not np.all(np.isfinite(factor) & (factor > 0)):
        raise FitError(f"factor={factor} must be positive and finite")
    return price_on(fit if isinstance(fit, Surface) else asked_surface(fit), factor)
