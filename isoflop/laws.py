"""Fits of scaling laws in one call each: runs in, a law with its exponents out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from analysis.data.loss_table import LossTable, select
from analysis.data.published.download import read_published
from analysis.data.published.registry import PREFIX
from analysis.data.readers import from_frame, read_file, read_sweeps
from analysis.data.reading.understand import TableOptions
from analysis.errors import FitError, Numbers
from analysis.fits.surface import Allocation
from analysis.studies import bootstrap
from analysis.studies.approaches.envelope import EnvelopeApproach
from analysis.studies.approaches.fit_all import fit_input
from analysis.studies.approaches.fitted_approach import FittedApproach
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.approaches.kaplan import KaplanApproach
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.fit_config import FitConfig

Runs = LossTable | pd.DataFrame | Mapping[str, Any] | str | Path
Kind = TypeVar("Kind", bound=FittedApproach)


@dataclass(frozen=True)
class Prediction:
    """A predicted loss with its 95 % interval.

    Attributes:
        loss: In the unit of the fitted losses; a float, or an array of the arguments' shape.
        low: Lower end of the interval, NaN for none.
        high: Upper end.

    Examples:
        >>> from isoflop import Prediction
        >>> Prediction(2.31, 2.28, 2.35).high
        2.35
    """

    loss: Numbers
    low: Numbers
    high: Numbers


def read_runs(
    source: Runs | Sequence[str | Path], columns: dict[str, str] | None = None
) -> LossTable:
    """Runs from sweep directories, any file of a table, published:NAME, or columns in memory.

    Args:
        source: What to read. A data frame, a mapping of columns or a file needs n_params, n_tokens
            and loss; flops follow as 6 N D where there is no such column.
        columns: The table's own names of these columns, {"n_params": "Model Size"}.

    Returns:
        The usable runs, with those left out with the reason in `excluded`.

    Raises:
        TableError: no such file, no such column, or no usable run.

    Examples:
        >>> import pandas as pd
        >>> from isoflop import read_runs
        >>> frame = pd.DataFrame({"N": [1e6, 2e6], "n_tokens": [2e7, 4e7], "loss": [4.1, None]})
        >>> table = read_runs(frame, columns={"n_params": "N"})
        >>> len(table), [row.reason for row in table.excluded]
        (1, ['loss=nan is not positive and finite'])
    """
    if isinstance(source, LossTable):
        return source
    if isinstance(source, pd.DataFrame | Mapping):
        source = pd.DataFrame(source)
        return from_frame(source, "data frame", columns)
    if isinstance(source, str) and source.startswith(PREFIX):
        return read_published(source, TableOptions(columns or {}))
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(path) for path in source]
    if len(paths) == 1 and not paths[0].is_dir():
        return read_file(paths[0], TableOptions(columns or {}))
    return select(read_sweeps(paths))


def fit_parametric(runs: Runs, *, counting: str = "exact", **settings: Any) -> ParametricApproach:
    """Approach 3 of Hoffmann et al. 2022: L(N, D) = E + A/N^alpha + B/D^beta.

    Args:
        runs: What `read_runs` reads.
        counting: How N and C are counted: exact, 6nd, non_embedding or chinchilla.
        settings: Those of `fit.` on the command line (docs/settings.md): `delta`, `above`, `fixed`,
            `tied`, `residual`, `weights`, `n_resamples`, ...

    Returns:
        The fit: `parameters` (E, A, B, alpha, beta and more), the exponents `a` and `b` of
        N_opt ~ C^a and D_opt ~ C^b, `intervals` of them all, and `status`, which is converged,
        max_iterations, bound_hit or degenerate.

    Raises:
        FitError: fewer runs than parameters, or values that are not positive and finite.

    Examples:
        >>> import pandas as pd
        >>> from isoflop import Surface, fit_parametric
        >>> law = Surface(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)
        >>> cells = [(n, d) for n in (1e7, 1e8, 1e9) for d in (1e9, 1e10, 1e11)]
        >>> runs = pd.DataFrame(cells, columns=["n_params", "n_tokens"])
        >>> runs["loss"] = law.loss(runs.n_params, runs.n_tokens)
        >>> fit = fit_parametric(runs)
        >>> fit.status, [round(fit.parameters[name], 3) for name in ("alpha", "beta", "E")]
        ('converged', [0.35, 0.37, 1.8])
    """
    return _fitted(ParametricApproach, runs, counting, settings)


def fit_isoflop(runs: Runs, *, counting: str = "exact", **settings: Any) -> IsoflopApproach:
    """Approach 2 of Hoffmann et al. 2022: the minimum of each budget, and laws through them.

    Args:
        runs: What `read_runs` reads; budgets are its column flops_budget, or groups of equal FLOPs.
        counting: How N and C are counted: exact, 6nd, non_embedding or chinchilla.
        settings: `isoflop_curve` (softened, skewed, parabola, cubic or akima), `noise`,
            `isoflop_weights`, ...

    Raises:
        FitError: no budget has as many model sizes as the profile needs.

    Examples:
        >>> import pandas as pd
        >>> from isoflop import Surface, fit_isoflop
        >>> law = Surface(E=1.8, A=480.0, B=480.0, alpha=0.35, beta=0.35)
        >>> sizes, budgets = (0.25, 0.5, 1, 2, 4), (6e18, 6e19, 6e20)
        >>> cells = [(c, (c / 6) ** 0.5 * x) for c in budgets for x in sizes]
        >>> runs = pd.DataFrame(cells, columns=["flops_budget", "n_params"])
        >>> runs["n_tokens"] = runs.flops_budget / (6 * runs.n_params)
        >>> runs["loss"] = law.loss(runs.n_params, runs.n_tokens)
        >>> fit = fit_isoflop(runs)
        >>> fit.status, round(fit.a, 2)
        ('converged', 0.5)
    """
    return _fitted(IsoflopApproach, runs, counting, settings)


def fit_envelope(runs: Runs, *, counting: str = "exact", **settings: Any) -> EnvelopeApproach:
    """Approach 1 of Hoffmann et al. 2022: the lower envelope of training curves in compute.

    Args:
        runs: What `read_runs` reads, with curves: a sweep's directory, or a table that names each
            run (run_id) on several rows, one per point of its curve.
        counting: How N and C are counted: exact, 6nd, non_embedding or chinchilla.
        settings: `envelope`: bins (the least loss at 1,500 amounts of compute) or hull, ...

    Raises:
        FitError: no training curves.

    Examples:
        >>> import pandas as pd
        >>> from isoflop import Surface, fit_envelope
        >>> law = Surface(E=1.8, A=480.0, B=480.0, alpha=0.35, beta=0.35)
        >>> tokens = [10.0 ** (8 + k / 8) for k in range(32)]
        >>> points = [(f"n{n}", 10.0**n, d) for n in (6, 7, 8, 9) for d in tokens]
        >>> curves = pd.DataFrame(points, columns=["run_id", "n_params", "n_tokens"])
        >>> curves["loss"] = law.loss(curves.n_params, curves.n_tokens)
        >>> fit = fit_envelope(curves)
        >>> fit.status, round(fit.a, 1)
        ('converged', 0.5)
    """
    return _fitted(EnvelopeApproach, runs, counting, settings)


def fit_kaplan(runs: Runs, *, counting: str = "exact", **settings: Any) -> KaplanApproach:
    """The joint law of Kaplan et al. 2020: L(N, D) = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D.

    Args:
        runs: What `read_runs` reads.
        counting: How N and C are counted: exact, 6nd, non_embedding or chinchilla.
        settings: `delta`, the width of the Huber loss on log residuals, ...

    Raises:
        FitError: fewer than four runs, or too few sizes or token counts to tell the parameters.

    Examples:
        >>> import pandas as pd
        >>> from isoflop import fit_kaplan
        >>> cells = [(n, d) for n in (1e7, 1e8, 1e9) for d in (1e9, 1e10, 1e11)]
        >>> runs = pd.DataFrame(cells, columns=["n_params", "n_tokens"])
        >>> runs["loss"] = ((8.8e13 / runs.n_params) ** 0.8 + 5.4e13 / runs.n_tokens) ** 0.095
        >>> fit = fit_kaplan(runs)
        >>> round(fit.parameters["alpha_D"], 3), round(fit.a, 3)
        (0.095, 0.556)
    """
    return _fitted(KaplanApproach, runs, counting, settings)


def allocate(fit: FittedApproach, flops: Numbers) -> Allocation:
    """Compute-optimal N and D for training budgets, by any of the fits.

    Args:
        fit: What `fit_parametric`, `fit_isoflop`, `fit_envelope` or `fit_kaplan` returned.
        flops: Budgets in FLOPs, > 0: a number or an array.

    Returns:
        n_params, n_tokens and loss in the shape of `flops`; the loss is NaN where the minima do
        not determine how it falls with compute.

    Raises:
        FitError: the fit has no optimum, or no law for want of minima.

    Examples:
        >>> import pandas as pd
        >>> from isoflop import Surface, allocate, fit_parametric
        >>> law = Surface(E=1.8, A=480.0, B=480.0, alpha=0.35, beta=0.35)
        >>> cells = [(n, d) for n in (1e7, 1e8, 1e9) for d in (1e9, 1e10, 1e11)]
        >>> runs = pd.DataFrame(cells, columns=["n_params", "n_tokens"])
        >>> runs["loss"] = law.loss(runs.n_params, runs.n_tokens)
        >>> best = allocate(fit_parametric(runs), 6e18)
        >>> f"{best.n_params:.2e} parameters, {best.n_tokens:.2e} tokens, loss {best.loss:.3f}"
        '1.00e+09 parameters, 1.00e+09 tokens, loss 2.480'
    """
    if not fit.usable:
        raise FitError(f"the fit is {fit.status} ({fit.reason}); add runs or budgets")
    return fit.optimal(flops)


def predict(fit: FittedApproach, n_params: Numbers, n_tokens: Numbers) -> Prediction:
    """The loss of a model that was not trained, with a 95 % interval from resampled runs.

    Args:
        fit: What `fit_parametric` or `fit_kaplan` returned; its resamples give the interval.
        n_params: Parameters, counted as the fit counted them: a number or an array.
        n_tokens: Training tokens, of the same shape.

    Raises:
        FitError: the fit did not come to a surface that can be asked, or knows optima alone.

    Examples:
        >>> import pandas as pd
        >>> from isoflop import Surface, fit_parametric, predict
        >>> law = Surface(E=1.8, A=480.0, B=480.0, alpha=0.35, beta=0.35)
        >>> cells = [(n, d) for n in (1e7, 1e8, 1e9) for d in (1e9, 1e10, 1e11)]
        >>> runs = pd.DataFrame(cells, columns=["n_params", "n_tokens"])
        >>> noise = [0.01, -0.01, 0.0, 0.02, -0.02, 0.01, 0.0, -0.01, 0.01]
        >>> runs["loss"] = law.loss(runs.n_params, runs.n_tokens) + noise
        >>> found = predict(fit_parametric(runs, n_resamples=200), 7e9, 1.4e11)
        >>> bool(found.low < found.loss < found.high), round(float(found.loss), 1)
        (True, 2.0)
    """
    if not fit.usable:
        raise FitError(f"the fit is {fit.status} ({fit.reason}), so nothing can be predicted")
    n, d = np.broadcast_arrays(np.asarray(n_params, float), np.asarray(n_tokens, float))
    found = [fit.loss(float(x), float(y)) for x, y in zip(n.ravel(), d.ravel(), strict=True)]
    rows = np.array([(loss, *span) for loss, span in found]).T
    loss, low, high = (np.reshape(row, n.shape)[()] for row in rows)
    return Prediction(loss, low, high)


def _fitted(kind: type[Kind], runs: Runs, counting: str, settings: dict[str, Any]) -> Kind:
    """One approach fitted to runs, with the resamples that its intervals are drawn from."""
    table, config = read_runs(runs), FitConfig(**settings)
    data = fit_input(table, counting, config)
    fit, n_draws = kind.fitted(data, config), bootstrap.n_resamples(config, len(data))
    return fit.resampled(bootstrap.counts(table.runs, config, n_draws) if n_draws else None)
