"""The three approaches of Hoffmann et al. 2022 in words, tables and figures."""

from collections.abc import Sequence

import numpy as np

from analysis.figures import fits as figures
from analysis.figures import surface as figures_surface
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.isoflop import profiles
from analysis.figures.style import count_span
from analysis.fits.isoflop import IsoflopFit
from analysis.fits.isoflop_profile import IsoflopProfile
from analysis.fits.surface import PARAMETERS
from analysis.format import count_label, number, span
from analysis.report.document import Section, TableSpec
from analysis.studies.approaches.envelope import EnvelopeApproach
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.study import Study

CURVE_WORDS = {
    "skewed": "a parabola in log N, with one skewness for all,",
    "softened": "a parabola in log N, with one skewness for all and a random roughness,",
    "parabola": "a parabola in log N",
    "cubic": "a cubic in log N",
    "akima": "Akima's interpolation in log N",
}


def envelope_section(study: Study) -> Section | None:
    found = study.find(EnvelopeApproach)
    title = "Approach 1: the envelope of training curves"
    if found is None:
        return not_fitted(study, "envelope", title)
    fit, own = found.fit, found.intervals
    if not len(fit.flops):  # short runs leave no point to draw
        return Section(title, status_lines(fit.status, fit.reason))
    text = (
        f"At each amount of compute, the run with the least loss so far "
        f"({'1,500 log-spaced amounts' if fit.method == 'bins' else 'convex hull in log-log'}). "
        f"N grows as C^{number(fit.a)} ({span(own.get('a'))}), "
        f"D as C^{number(fit.b)} ({span(own.get('b'))}). {losses_read(found)} Losses in "
        f"the middle of a decaying schedule lie above what a run that ends there would reach."
    )
    figure = FigureSpec(
        "loss_curves",
        figures.loss_curves(study),
        f"Loss against training compute for {len(study.runs)} runs with their lower envelope; "
        f"beside it the size of the best run against compute, rising as C^{number(fit.a)}.",
        "Training curves, coloured by size, and the size of the run on the envelope.",
    )
    return Section(title, [text, *status_lines(fit.status, fit.reason)], [figure])


def losses_read(found: EnvelopeApproach) -> str:
    """Which losses along training the envelope is of, and why."""
    read = found.data.curve_losses
    if read is None or read.kind == "table":
        return "The losses are those of the table's curves."
    if read.kind == "validation":
        return f"The losses are of validation ({read.reason})."
    return (
        f"The losses are of training ({read.reason}), smoothed by straight lines over "
        f"{read.window:.0%} of the tokens so far on each side, which leaves an error of "
        f"{100 * read.error:.2g} % that the intervals hold, and all times {number(read.level, 4)} "
        f"to end at the level of validation."
    )


def isoflop_section(study: Study) -> Section | None:
    found = study.find(IsoflopApproach)
    title = "Approach 2: IsoFLOP profiles"
    if found is None:
        return not_fitted(study, "isoflop", title)
    fit, own = found.fit, found.intervals
    by_errors = study.config.isoflop_weights == "errors"
    weighted = "each minimum weighted by its own uncertainty" if by_errors else "unweighted"
    text = (
        f"For each budget {CURVE_WORDS[fit.curve]} and its minimum. "
        f"N_opt grows as C^{number(fit.a)} ({span(own.get('a'))}), D_opt as C^{number(fit.b)} "
        f"({span(own.get('b'))}), {weighted}. Runs "
        f"scatter by {number(100 * fit.noise, 2)} % about their profile." + _repeats(fit)
    )
    lowest = min(fit.profiles, key=lambda profile: profile.loss)
    figure = FigureSpec(
        "isoflop",
        profiles(study),
        f"Final loss against parameters, a profile for each of {len(fit.profiles)} budgets; minima "
        f"move to larger models with compute, down to a loss of {number(lowest.loss, 4)}.",
        "Profiles with minima (diamonds, 95 % intervals) and the power laws through them.",
    )
    rows = [
        [
            number(profile.flops),
            str(len(profile.losses)),
            *(_minimum(profile) if profile.bracketed else ["–"] * 5),
            "yes" if profile.bracketed else f"no: {profile.reason}",
        ]
        for profile in fit.profiles
    ]
    table = TableSpec(
        "Minima",
        ["budget (FLOPs)", "runs", "N_opt", "95 % interval", "D_opt", "D/N", "loss", "bracketed"],
        rows,
    )
    return Section(title, [text, *status_lines(fit.status, fit.reason)], [figure], [table])


def _repeats(fit: IsoflopFit) -> str:
    sd, freedom = fit.seed_noise
    if not freedom:
        return ""
    return f" Runs that repeat a size differ by {number(100 * sd, 2)} % between seeds."


def _minimum(profile: IsoflopProfile) -> list[str]:
    low, high = profile.open_ends
    open_side = {(True, False): " (open below)", (False, True): " (open above)"}
    beyond = " (open)" if low and high else open_side.get(profile.open_ends, "")
    return [
        count_label(profile.n_opt),
        count_span(profile.interval) + beyond,
        count_label(profile.d_opt),
        number(profile.d_opt / profile.n_opt),
        number(profile.loss, 4),
    ]


def parametric_section(study: Study, targets: Sequence[float] = ()) -> Section | None:
    found = study.find(ParametricApproach)
    title = "Approach 3: the parametric surface"
    if found is None:
        return not_fitted(study, "parametric", title)
    fit, own = found.fit, found.intervals
    text = (
        f"L(N, D) = E + A/N^alpha + B/D^beta by {fit.problem.description}: objective "
        f"{number(fit.objective, 9)}, largest gradient {number(fit.gradient_norm, 2)}, "
        f"distinct minima found {fit.n_basins}, "
        f"condition {number(fit.condition, 2)}. Bootstrap over {study.config.resample}, "
        f"{study.n_resamples:,} resamples."
    )
    rows = []
    for name in (*PARAMETERS, "a", "b"):
        held = found.profiles.get(name)
        rows.append([
            name,
            number(getattr(fit, name), 5),
            "fixed" if name in fit.problem.fixed else span(own.get(name), 4),
            span(held.interval, 4) + (" (flat)" if held.flat else "") if held else "–",
        ])  # fmt: skip
    table = TableSpec(
        "Parameters", ["parameter", "value", "95 % bootstrap", "95 % profile likelihood"], rows
    )
    return Section(
        title,
        [text, *status_lines(fit.status, fit.reason)],
        _surface_figures(study, found, targets),
        [table],
    )


def _surface_figures(
    study: Study, found: ParametricApproach, targets: Sequence[float]
) -> list[FigureSpec]:
    fit = found.fit
    if not fit.usable:
        return []
    spread = 100 * float(np.median(np.abs(fit.residuals)))
    specs = [
        FigureSpec(
            "contours",
            figures_surface.contours(study, targets),
            f"Iso-loss contours over compute and parameters; the efficient frontier rises as "
            f"C^{number(fit.a)}. Beside them the surface cut at each budget, through the runs.",
            "The fitted surface: contours with the efficient frontier, and its IsoFLOP slices.",
        ),
        FigureSpec(
            "residuals",
            figures_surface.residuals(study),
            f"Residuals of the fit against parameters and tokens; half lie within "
            f"{spread:.2g} percent of the surface.",
            f"Residuals, coloured by compute; half are within {spread:.2g} %. A trend would mean "
            f"that the form does not fit.",
        ),
    ]
    if found.surface_draws is not None:
        specs.append(
            FigureSpec(
                "bootstrap",
                figures_surface.clouds(study),
                "Clouds of bootstrap draws of the parameters, two at a time, about the fit.",
                "Bootstrap draws. Long ridges are parameters that the runs tell apart badly.",
            )
        )
    return specs


def not_fitted(study: Study, approach: str, title: str) -> Section | None:
    """A section that holds the reason alone, or None where the approach was not asked for."""
    if approach not in study.missing:
        return None
    return Section(title, [f"Not fitted: {study.missing[approach]}."])


def status_lines(status: str, reason: str) -> list[str]:
    """A paragraph on a fit that is not plainly converged; none for one that is."""
    if status == "converged" and not reason:
        return []
    return [f"Status: {status}" + (f"; {reason}." if reason else ".")]
