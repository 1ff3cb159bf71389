"""Questions asked of a fitted law, in one call each; `isoflop.laws` holds the fits."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.errors import FitError, Numbers
from analysis.fits.serving import SizePrice
from analysis.fits.serving import size_price as price_on
from analysis.fits.surface import Surface
from analysis.studies.ability.points import AbilityPoints
from analysis.studies.ability.two_steps import AbilityPrediction, fit_two_steps, predict_ability
from analysis.studies.approaches.fit_all import fit_input
from analysis.studies.approaches.fitted_approach import FittedApproach
from analysis.studies.fit_config import FitConfig
from analysis.studies.forms.study import FormStudy
from analysis.studies.forms.study import compare_forms as compare
from analysis.studies.minima.optima import OptimaLaw
from analysis.studies.minima.optima import fit_optima as laws_of_optima
from analysis.studies.questions.prediction import Point
from analysis.studies.serving.serving import Quality, ServingPlan, asked_surface, plan_for
from isoflop.laws import Runs, read_runs


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


def predict_accuracy(
    n_params: ArrayLike,
    n_tokens: ArrayLike,
    loss: ArrayLike,
    accuracy: ArrayLike,
    *,
    at: tuple[float, float],
    second: str = "sigmoid",
    chance: float | None = None,
    **settings: Any,
) -> AbilityPrediction:
    """A task's accuracy for a run that was not trained: (N, D) to loss, and loss to accuracy.

    Args:
        n_params: Parameters of each run, (runs,).
        n_tokens: Training tokens of each run, (runs,).
        loss: Loss of the task's right answers, such as bits per byte, (runs,).
        accuracy: In [0, 1], (runs,).
        at: N and D of the run to predict.
        second: sigmoid, anchored for a sigmoid with one more point of accuracy 1 at no loss, or
            tokens for bottom + (1 - bottom) exp(-L x).
        chance: Accuracy by chance, held as the bottom; None leaves it free.
        settings: `n_resamples`, `delta`, `seed` as in `fit.` on the command line.

    Returns:
        `accuracy` with its 95 % interval of the law (`confidence`) and of a run (`run`), the
        `loss` on the way, the `direct` law's accuracy, and how far `beyond` the runs it lies; NaN
        with a `reason` where a step does not hold.

    Raises:
        FitError: settings that are unknown.

    Examples:
        >>> import numpy as np
        >>> from isoflop import predict_accuracy
        >>> n, d = (x.ravel() for x in np.meshgrid([1e8, 3e8, 1e9, 3e9], [2e9, 1e10, 5e10, 2e11]))
        >>> bits = 0.5 + 30 / n**0.25 + 60 / d**0.22
        >>> accuracy = 0.25 + 0.7 / (1 + np.exp(6 * (bits - 1.1)))
        >>> found = predict_accuracy(n, d, bits, accuracy, at=(1e10, 1e12), n_resamples=100)
        >>> round(found.loss, 2), round(found.accuracy, 2)
        (0.73, 0.88)
    """
    n, d, x, y = (
        np.asarray(column, dtype=float) for column in (n_params, n_tokens, loss, accuracy)
    )
    points = AbilityPoints("task", "loss", "accuracy", n, d, x, y, np.arange(len(x)))
    return predict_ability(fit_two_steps(points, FitConfig(**settings), second, chance), Point(*at))


def fit_optima(
    flops: ArrayLike, n_opt: ArrayLike, d_opt: ArrayLike, loss: ArrayLike | None = None
) -> OptimaLaw:
    """Power laws through optima whose runs nobody has: N_opt ~ C^a and D_opt ~ C^b.

    Args:
        flops: Budgets, (optima,), > 0.
        n_opt: The best parameters of each.
        d_opt: The best tokens of each.
        loss: The losses there, if they are known.

    Returns:
        `n_law` and `d_law` (exponent, interval(), band), `loss` (E + k C^-g) where losses were
        given, `objections`, and `optimal(flops)`.

    Raises:
        FitError: fewer than three budgets, or values that are not positive and finite.

    Examples:
        >>> from isoflop import fit_optima
        >>> made = fit_optima([1.92e19, 1.21e20, 1.23e22], [4e8, 1e9, 1e10], [8e9, 2e10, 2e11])
        >>> round(made.n_law.exponent, 2), made.objections
        (0.5, ())
    """
    c, n, d = (np.asarray(x, dtype=float) for x in (flops, n_opt, d_opt))
    return laws_of_optima(c, n, d, None if loss is None else np.asarray(loss, dtype=float))


def compare_forms(
    runs: Runs, *, by: str = "flops", counting: str = "exact", **settings: Any
) -> FormStudy:
    """Which form of the loss predicts runs that it was not fitted to: a rolling hold-out.

    Args:
        runs: What `read_runs` reads; three budgets (or sizes) or more.
        by: flops, or n_params: what is fitted below and predicted above, step by step.
        counting: How N and C are counted: exact, 6nd, non_embedding or chinchilla.
        settings: Those of `fit.` on the command line.

    Returns:
        `rows`, one per form and objective and per average, the least error first: `following` is
        the rms error of log loss on the next group, `steps` at each step, `by_distance` farther
        out; `best` is the one of least error by hindsight.

    Raises:
        FitError: fewer than three groups, or no form that predicts all of them.

    Examples:
        >>> import pandas as pd
        >>> from isoflop import compare_forms
        >>> cells = [(n, d) for n in (1e7, 3e7, 1e8, 1e9, 1e10) for d in (1e9, 1e10, 1e11)]
        >>> runs = pd.DataFrame(cells, columns=["n_params", "n_tokens"])
        >>> runs["loss"] = ((8.8e13 / runs.n_params) ** 0.8 + 5.4e13 / runs.n_tokens) ** 0.095
        >>> made = compare_forms(runs, by="n_params")
        >>> made.best.name.split(",")[0], made.best.following < 1e-4
        ('kaplan', True)
    """
    config = FitConfig(**settings)
    return compare(fit_input(read_runs(runs), counting, config), config, by)


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
