"""All that is computed of one ability: scores with nulls, transitions, Mirage's three tests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.emergence import null
from analysis.emergence.abilities import Ability, Points
from analysis.emergence.lengths import MIN_ITEMS, length_cells, length_shares
from analysis.emergence.score import (
    MIN_POINTS,
    Transition,
    chance_null,
    emergence_score,
    fit_transition,
    in_all,
    mean_by,
    permutation_null,
    plateau,
)
from analysis.emergence.seeds import SeedStudy, study_seeds
from analysis.emergence.token_model import (
    Holdout,
    LengthCell,
    Lengths,
    TokenLaw,
    fit_token_law,
    leave_largest_out,
    threshold,
)
from eval.metrics.wilson import wilson

SHARP_TO_SMOOTH = (
    "exact_match",
    "probability>=0.5",
    "multiple_choice_grade",
    "majority_match",
    "answer_probability",
    "choice_probability",
    "token_accuracy",
    "token_edit_distance",
    "token_edit_distance_normalized",
    "brier_mean",
    "target_nll",
    "token_nll",
)
"""Order of the table, nonlinear or discontinuous metrics first; others follow as stored."""

TRANSITION_METRICS = ("exact_match", "answer_probability", "token_accuracy", "token_edit_distance")
MIN_RISE = (5, 6)
"""Scales and models from which a rise is fitted: it has four parameters."""

COMPANION = "uniform_length"
"""Operands of an ability's length_variant."""

SEEDED = ("exact_match", "multiple_choice_grade")
"""Accuracies whose distribution over seeds is looked at, the first that was measured."""


@dataclass(frozen=True)
class MetricStudy:
    """One metric over scale: its emergence score, that of each seed, its nulls, its rise.

    `score` is that of the mean over seeds (`summary` "mean") or, where seeds of one size differ so
    much that their mean is no model's value, the median of the seeds' scores ("median of seeds"),
    half-way between the middle two of an even number. The nulls are then of that median.
    """

    metric: str
    n_scales: int
    summary: str
    score: float
    seed_scores: dict[int, float]
    chance: null.Null
    permutation: null.Null
    low: float
    high: float
    transition: Transition | None
    plateaus: list[tuple[float, float]]


@dataclass(frozen=True)
class Resolution:
    """Exact match measured with n items: how many models score 0, and the score's emergence.

    `ceiling` is Wilson's 95 % upper bound of a model that got none of n right.
    """

    n_items: int
    n_models: int
    n_zero: int
    ceiling: float
    score: float


@dataclass(frozen=True)
class TokenModel:
    """The law of per-token loss over N, where it puts the threshold, and how it predicts."""

    law: TokenLaw
    lengths: Lengths
    threshold: float
    holdouts: list[Holdout]


@dataclass(frozen=True)
class AbilityStudy:
    """All of one ability; parts that the rows don't allow are empty, with reasons in `missing`.

    `length_source` is the title of the ability whose items gave `lengths`: its own, or its
    length_variant's. `seeds` is None where no size has two runs.
    """

    ability: Ability
    length_source: str
    metrics: list[MetricStudy]
    resolutions: list[Resolution]
    lengths: list[LengthCell]
    model: TokenModel | None
    missing: dict[str, str]
    seeds: SeedStudy | None = None

    @property
    def seeds_apart(self) -> bool:
        """Whether seeds of one size differ so much that their mean describes no model."""
        return self.seeds is not None and bool(self.seeds.apart)

    @property
    def nothing_learnt(self) -> bool:
        """Whether no checkpoint gave a single right answer, so that there is no curve."""
        values = self.ability.points("exact_match").values
        return bool(len(values)) and not values.any() and not self.metric(SEEDED[1])

    def metric(self, name: str) -> MetricStudy | None:
        return next((study for study in self.metrics if study.metric == name), None)


def study_all(everything: Sequence[Ability]) -> list[AbilityStudy]:
    """A study of each ability; a length_variant (operands of uniform length) only gives lengths.

    Three-digit operands drawn by value are long nine times in ten, which leaves few short answers;
    the length_variant set of the same checkpoints asks for all lengths alike (see
    `eval.tasks.eval_set`).
    """
    by_key = {(*a.key, a.curve): a for a in everything}
    pairs = {
        key: by_key.get((key[0], COMPANION, *key[2:])) if key[1] != COMPANION else None
        for key in by_key
    }
    companions = [ability for ability in pairs.values() if ability is not None]
    return [
        study_ability(ability, length_variant=pairs[key])
        for key, ability in by_key.items()
        if not any(ability is one for one in companions)
    ]


def study_ability(
    ability: Ability, seed: int = 0, n_resamples: int = 100, length_variant: Ability | None = None
) -> AbilityStudy:
    """Scores, nulls, transitions, resolution, lengths and the token model of an ability."""
    rng = np.random.default_rng(seed)
    missing: dict[str, str] = {}
    measured = ability.metrics
    names = [name for name in SHARP_TO_SMOOTH if name in measured]
    names += [name for name in measured if name not in names]
    seeds = _seeds(ability, rng)
    apart = seeds is not None and bool(seeds.apart)
    metrics = []
    for name in names:
        points = ability.points(name)
        n_scales = len(np.unique(points.column(ability.scale)))
        if n_scales < MIN_POINTS:
            missing[name] = f"measured at {n_scales} scales; a shape needs {MIN_POINTS}"
            continue
        metrics.append(_study_metric(ability, name, points, apart, rng, n_resamples))
    resolutions = _resolutions(ability, apart)
    if not resolutions:
        missing["resolution"] = "exact match was not stored at several numbers of items"
    lengths = length_cells(length_variant or ability)
    if not lengths:
        missing["lengths"] = f"no target length with {MIN_ITEMS} items and position accuracies"
    return AbilityStudy(
        ability=ability,
        length_source=(length_variant or ability).title,
        metrics=metrics,
        resolutions=resolutions,
        lengths=lengths,
        model=_token_model(ability, missing),
        missing=missing,
        seeds=seeds,
    )


def _seeds(ability: Ability, rng: np.random.Generator) -> SeedStudy | None:
    metric = next((name for name in SEEDED if name in ability.metrics), None)
    if metric is None:
        return None
    points, chance = ability.points(metric), ability.chance(metric)
    level = chance if math.isfinite(chance) else 0.0
    return study_seeds(metric, points.column(ability.scale), points.values, rng, level)


def _study_metric(
    ability: Ability,
    name: str,
    points: Points,
    apart: bool,
    rng: np.random.Generator,
    n_resamples: int,
) -> MetricStudy:
    x, y = points.column(ability.scale), points.values
    mean_x, mean_y = mean_by(x, y)
    seed_scores = _seed_scores(ability, points)
    seen = len(mean_x) >= MIN_RISE[0] and len(x) >= MIN_RISE[1]
    foreign = not set(TRANSITION_METRICS) & set(ability.metrics)
    summary, low, high = "mean", float(mean_y.min()), float(mean_y.max())
    score, plateaus = emergence_score(mean_x, mean_y), plateau(mean_x, mean_y)
    n_scales = len(mean_x)
    if apart and seed_scores:
        own = [points.of_seed(seed) for seed in seed_scores]
        curves = [one.values[np.argsort(one.column(ability.scale))] for one in own]
        score, n_scales = null.median_score(list(seed_scores.values())), max(map(len, curves))
        chance = null.median_chance_null(score, [len(curve) for curve in curves])
        permutation = null.median_permutation_null(score, curves, rng)
        plateaus = in_all([plateau(one.column(ability.scale), one.values) for one in own])
        summary, low, high = "median of seeds", float(y.min()), float(y.max())
    else:
        chance, permutation = chance_null(mean_x, mean_y), permutation_null(mean_x, mean_y, rng)
    return MetricStudy(
        metric=name,
        n_scales=n_scales,
        summary=summary,
        score=score,
        seed_scores=seed_scores,
        chance=chance,
        permutation=permutation,
        low=low,
        high=high,
        transition=fit_transition(x, y, rng, n_resamples)
        if seen and (foreign or name in TRANSITION_METRICS)
        else None,
        plateaus=plateaus,
    )


def _seed_scores(ability: Ability, points: Points) -> dict[int, float]:
    """The emergence score of each seed that was run at three scales or more."""
    found = {}
    for seed in points.seeds:
        own = points.of_seed(seed)
        x = own.column(ability.scale)
        if len(np.unique(x)) == len(own) >= MIN_POINTS:
            found[seed] = emergence_score(x, own.values)
    return found


def _resolutions(ability: Ability, apart: bool) -> list[Resolution]:
    found = []
    for n_items in ability.resolutions:
        points = ability.points("exact_match", n_first=n_items)
        x, y = mean_by(points.column(ability.scale), points.values)
        scores = list(_seed_scores(ability, points).values()) if apart else []
        if len(x) >= MIN_POINTS:
            found.append(
                Resolution(
                    n_items=n_items,
                    n_models=len(points),
                    n_zero=int((points.values == 0).sum()),
                    ceiling=float(wilson(0, n_items)[1]),
                    score=null.median_score(scores) if scores else emergence_score(x, y),
                )
            )
    return found


def _token_model(ability: Ability, missing: dict[str, str]) -> TokenModel | None:
    """The token law on final held-out points, where loss, accuracy and distance are all there."""
    names = ("token_nll", "exact_match", "token_edit_distance")
    if any(name not in ability.metrics for name in names):
        missing["model"] = f"needs {', '.join(names)}"
        return None
    losses = ability.points("token_nll")
    n, loss = losses.column("n_params"), losses.values
    if len(np.unique(n)) < MIN_POINTS:
        missing["model"] = f"measured at {len(np.unique(n))} sizes; a law needs {MIN_POINTS}"
        return None
    match, distance = (
        np.array([ability.points(name).by_run[row.run_id] for row in losses.rows])
        for name in names[1:]
    )
    lengths = length_shares(ability)
    if not lengths:
        missing["model"] = "no rows by target length"
        return None
    law = fit_token_law(n, loss)
    holdouts = leave_largest_out(n, loss, match, distance, lengths)
    return TokenModel(law, lengths, threshold(law, lengths), holdouts)
