"""The report's part on emergence: what was measured, what it says, and what it does not say."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from analysis.emergence.lengths import length_deviation
from analysis.emergence.metric_names import name_of
from analysis.emergence.seeds import SeedStudy
from analysis.emergence.strata import CONTINUATION, strata_of
from analysis.emergence.study import (
    SHARP_TO_SMOOTH,
    AbilityStudy,
    MetricStudy,
    TokenModel,
)
from analysis.figures.emergence import axis_figure, metrics_figure, resolution_figure
from analysis.figures.emergence_seeds import curves_figure, seeds_figure, strata_figure
from analysis.figures.emergence_tokens import length_figure, model_figure, tokens_figure
from analysis.figures.figure_spec import FigureSpec
from analysis.format import count_label, number
from analysis.report.document import Section, TableSpec
from analysis.sections.prose.emergence_kinds import (
    curves_paragraph,
    nothing_learnt,
    strata_paragraph,
)
from analysis.sections.prose.emergence_text import metric_pair, paragraphs, reasons, split_means

TITLE = "Emergence: ability or metric?"
DRAWN = ("token_accuracy", "token_edit_distance", "choice_probability", "token_nll")
"""Metrics that a sweep's curves show beside the sharpest one, at most two of them."""


def emergence_section(studies: Sequence[AbilityStudy]) -> Section:
    """Figures, paragraphs and tables on every ability that was measured at three scales or more."""
    if not studies:
        return Section(TITLE, ["No checkpoint was evaluated: run isoflop eval on the sweep first."])
    text, figures, shown = [], [], []
    continued = [one for one in studies if one.ability.task == CONTINUATION]
    for family in _families([one for one in studies if one.ability.task != CONTINUATION]):
        if all(study.nothing_learnt for study in family):
            text.append(nothing_learnt(family))
            continue
        drawn = [study for study in family if study.metrics]
        shown += drawn
        if len(family) > 1 and drawn:
            metrics = _curve_metrics(drawn)
            text.append(curves_paragraph(family, metrics))
            figures.append(curves_figure(drawn, metrics))
        elif drawn:
            text += paragraphs(drawn[0])
            figures += _figures(drawn[0])
        if not drawn:
            text += [
                f"Not drawn: {study.ability.title}: {'; '.join(reasons(study))}" for study in family
            ]
    for form in dict.fromkeys(study.ability.format for study in continued):
        strata = strata_of([one for one in continued if one.ability.format == form])
        if strata:
            title = f"{CONTINUATION}, {form}"
            text.append(strata_paragraph(title, strata))
            figures.append(strata_figure(title, _slug(title), strata))
    tables = [_score_table(shown)] if shown else []
    tables += [table for study in shown for table in _detail_tables(study)]
    return Section(TITLE, text, figures, tables)


def _families(studies: Sequence[AbilityStudy]) -> list[list[AbilityStudy]]:
    """Studies of one question together: several where a sweep gives a curve for each budget."""
    found: dict[tuple[str, str, str, int], list[AbilityStudy]] = {}
    for study in studies:
        found.setdefault(study.ability.key, []).append(study)
    return list(found.values())


def _slug(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title)


def _curve_metrics(family: Sequence[AbilityStudy]) -> list[str]:
    """At most three metrics that every curve has, sharp before smooth."""
    common = [name for name in SHARP_TO_SMOOTH if all(study.metric(name) for study in family)]
    return common[:1] + [name for name in DRAWN if name in common[1:]][:2] or [
        family[0].metrics[0].metric
    ]


def emergence_json(studies: Sequence[AbilityStudy]) -> dict[str, Any]:
    """All numbers of the section as JSON content; infinities and NaN are written as strings."""
    return {"abilities": [plain_json(_results(study)) for study in studies]}


def _results(study: AbilityStudy) -> dict[str, Any]:
    ability = study.ability
    model = study.model
    return {
        "task": ability.task,
        "operands": ability.operands,
        "format": ability.format,
        "n_shots": ability.n_shots,
        "scale": ability.scale,
        "curve": ability.curve.label,
        "nothing_learnt": study.nothing_learnt,
        "seeds": None if study.seeds is None else _seed_results(study.seeds),
        "metrics": [
            {
                **dataclasses.asdict(metric),
                "ramp_score": metric.n_scales - 1,
                "width_decades": metric.transition.width if metric.transition else None,
            }
            for metric in study.metrics
        ],
        "splits": split_means(ability),
        "resolution": [dataclasses.asdict(resolution) for resolution in study.resolutions],
        "length": {
            "items_of": study.length_source,
            "mean_absolute_deviation": length_deviation(study.lengths),
            "cells": [
                {
                    **dataclasses.asdict(cell),
                    "geometric": cell.geometric,
                    "product": cell.product,
                    "quasilinear": cell.quasilinear,
                }
                for cell in study.lengths
            ],
        },
        "token_model": None if model is None else _model_results(model),
        "missing": study.missing,
    }


def _seed_results(seeds: SeedStudy) -> dict[str, Any]:
    shares = [{**dataclasses.asdict(size), "share": size.share} for size in seeds.sizes]
    return {
        **dataclasses.asdict(seeds),
        "sizes": shares,
        "apart": bool(seeds.apart),
        "width_decades": seeds.mixture.width if seeds.mixture else None,
    }


def _model_results(model: TokenModel) -> dict[str, Any]:
    return {
        **dataclasses.asdict(model.law),
        "predicted_threshold": model.threshold,
        "leave_largest_out": [
            {
                "largest_fitted": holdout.largest_fitted,
                "alpha": holdout.law.alpha,
                "exact_match_error": holdout.accuracy_error,
                "edit_distance_error": holdout.distance_error,
                "n_params": holdout.n_params.tolist(),
                "exact_match": holdout.accuracy.tolist(),
                "predicted_exact_match": holdout.predicted_accuracy.tolist(),
            }
            for holdout in model.holdouts
        ],
    }


def _figures(study: AbilityStudy) -> list[FigureSpec]:
    found: list[FigureSpec | None] = []
    pair = metric_pair(study)
    if study.seeds:
        found.append(seeds_figure(study, study.seeds))
    if study.lengths and study.ability.scale == "n_params":
        found.append(tokens_figure(study))
    if pair:
        found.append(metrics_figure(study, *pair))
    else:
        found += [metrics_figure(study, m.metric, m.metric) for m in study.metrics[:1]]
    if study.resolutions:
        found.append(resolution_figure(study))
    if study.lengths:
        found.append(length_figure(study))
    if pair:
        others = [axis for axis in ("loss", "n_tokens", "flops") if axis != study.ability.scale]
        found += [axis_figure(study, axis, *pair) for axis in others]
    if study.model:
        found.append(model_figure(study, study.model))
    return [figure for figure in found if figure is not None]


def _score_table(studies: Iterable[AbilityStudy]) -> TableSpec:
    rows = [
        [
            study.ability.title,
            name_of(metric.metric),
            str(metric.n_scales),
            f"{number(metric.low)} to {number(metric.high)}",
            f"{number(metric.score)} ({metric.summary})",
            " ".join(number(score) for score in metric.seed_scores.values()),
            f"{number(metric.chance.median)} / {number(metric.chance.q95)}",
            f"{metric.chance.p_value:.3g}",
            f"{metric.permutation.p_value:.3g}",
            *_transition_cells(metric),
        ]
        for study in studies
        for metric in study.metrics
    ]
    columns = (
        "task",
        "metric",
        "scales",
        "range",
        "score",
        "each seed",
        "noise: median / 95 %",
        "p (noise)",
        "p (order)",
        "rise centred at",
        "width, decades",
    )
    return TableSpec("Which metric shows emergence", columns, rows)


def _transition_cells(metric: MetricStudy) -> tuple[str, str]:
    transition = metric.transition
    if transition is None:
        return "–", "–"
    if transition.status == "degenerate":
        return "constant or too few scales", "–"
    note = "" if transition.status == "converged" else " (seen in part)"
    low, high = transition.threshold_interval
    narrow, wide = transition.width_interval
    return (
        f"{count_label(transition.threshold)} [{count_label(low)}, {count_label(high)}]{note}",
        f"{transition.width:.2f} [{narrow:.2f}, {wide:.2f}]",
    )


def _detail_tables(study: AbilityStudy) -> list[TableSpec]:
    found = []
    if study.model and study.model.holdouts:
        rows = [
            [
                count_label(holdout.largest_fitted),
                f"{holdout.law.alpha:.3f}",
                f"{holdout.accuracy_error:.3f}",
                f"{holdout.distance_error:.3f}",
            ]
            for holdout in study.model.holdouts
        ]
        columns = ("fitted up to N", "alpha", "mean |error| exact match", "mean |error| distance")
        found.append(TableSpec(f"Leave the largest out: {study.ability.title}", columns, rows))
    return found


def plain_json(content: Any) -> Any:
    """JSON content with non-finite numbers as strings, so that every reader parses it."""
    if isinstance(content, dict):
        return {str(key): plain_json(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain_json(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return "nan" if math.isnan(content) else ("inf" if content > 0 else "-inf")
    if isinstance(content, np.generic):
        return plain_json(content.item())
    return content
