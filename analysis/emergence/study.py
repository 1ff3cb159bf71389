"""All that is computed of one ability: scores with nulls, transitions, Mirage's three tests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.emergence.abilities import Ability, Points
from analysis.emergence.score import (
    MIN_POINTS,
    Null,
    Transition,
    chance_null,
    emergence_score,
    fit_transition,
    mean_by,
    permutation_null,
    plateau,
)
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
COMPANION = "uniform_length"
"""Operands of an ability's length_variant."""

MIN_ITEMS = 100
"""Fewer items of a target length than these say too little about it."""


@dataclass(frozen=True)
class MetricStudy:
    """One metric over scale: the score of the seed mean and of each seed, its nulls, its rise."""

    metric: str
    n_scales: int
    score: float
    seed_scores: dict[int, float]
    chance: Null
    permutation: Null
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
    length_variant's.
    """

    ability: Ability
    length_source: str
    metrics: list[MetricStudy]
    resolutions: list[Resolution]
    lengths: list[LengthCell]
    model: TokenModel | None
    missing: dict[str, str]

    def metric(self, name: str) -> MetricStudy | None:
        return next((study for study in self.metrics if study.metric == name), None)


def study_all(everything: Sequence[Ability]) -> list[AbilityStudy]:
    """A study of each ability; a length_variant (operands of uniform length) only gives lengths.

    Three-digit operands drawn by value are long nine times in ten, which leaves few short answers;
    the length_variant exam of the same checkpoints asks for all lengths alike (see
    `eval.tasks.eval_set`).
    """
    by_key = {(a.task, a.operands, a.format, a.n_shots): a for a in everything}
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
    metrics = []
    for name in names:
        points = ability.points(name)
        n_scales = len(np.unique(points.column(ability.scale)))
        if n_scales < MIN_POINTS:
            missing[name] = f"measured at {n_scales} scales; a shape needs {MIN_POINTS}"
            continue
        metrics.append(_study_metric(ability, name, points, rng, n_resamples))
    resolutions = _resolutions(ability)
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
    )


def length_cells(ability: Ability) -> list[LengthCell]:
    """Measured and predicted values of each final checkpoint at each target length with items."""
    cells = []
    for (_, length), rows in ability.by_length().items():
        values = {row.metric: row.value for row in rows if row.position is None}
        by_position = {row.position: row.value for row in rows if row.position is not None}
        n_items = int(max(row.n_items for row in rows))
        needed = {"exact_match", "token_edit_distance", "token_accuracy", "stop_accuracy"}
        positions = range(1, length + 1)
        if n_items < MIN_ITEMS or needed - values.keys() or set(positions) - by_position.keys():
            continue
        cells.append(
            LengthCell(
                n_params=rows[0].n_params,
                length=length,
                n_items=n_items,
                accuracy=values["exact_match"],
                distance=values["token_edit_distance"],
                token_accuracy=values["token_accuracy"],
                position_accuracies=tuple(by_position[i] for i in positions),
                stop_accuracy=values["stop_accuracy"],
            )
        )
    return sorted(cells, key=lambda cell: (cell.n_params, cell.length))


def _study_metric(
    ability: Ability, name: str, points: Points, rng: np.random.Generator, n_resamples: int
) -> MetricStudy:
    x, y = points.column(ability.scale), points.values
    mean_x, mean_y = mean_by(x, y)
    seed_scores = {}
    for seed in points.seeds:
        own = points.of_seed(seed)
        own_x = own.column(ability.scale)
        if len(np.unique(own_x)) == len(own) >= MIN_POINTS:
            seed_scores[seed] = emergence_score(own_x, own.values)
    foreign = not set(TRANSITION_METRICS) & set(ability.metrics)
    return MetricStudy(
        metric=name,
        n_scales=len(mean_x),
        score=emergence_score(mean_x, mean_y),
        seed_scores=seed_scores,
        chance=chance_null(mean_x, mean_y),
        permutation=permutation_null(mean_x, mean_y, rng),
        low=float(mean_y.min()),
        high=float(mean_y.max()),
        transition=fit_transition(x, y, rng, n_resamples)
        if foreign or name in TRANSITION_METRICS
        else None,
        plateaus=plateau(mean_x, mean_y),
    )


def _resolutions(ability: Ability) -> list[Resolution]:
    found = []
    for n_items in ability.resolutions:
        points = ability.points("exact_match", n_first=n_items)
        x, y = mean_by(points.column(ability.scale), points.values)
        if len(x) >= MIN_POINTS:
            found.append(
                Resolution(
                    n_items=n_items,
                    n_models=len(points),
                    n_zero=int((points.values == 0).sum()),
                    ceiling=float(wilson(0, n_items)[1]),
                    score=emergence_score(x, y),
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


def length_shares(ability: Ability) -> Lengths:
    """Share of held-out items with each target length, from the first run's rows."""
    counts: dict[int, float] = {}
    first = ability.rows[0].run_id
    for (run_id, length), rows in ability.by_length().items():
        if run_id == first:
            counts[length] = max(row.n_items for row in rows)
    total = sum(counts.values())
    return {length: n_items / total for length, n_items in counts.items()}


def length_deviation(cells: Sequence[LengthCell]) -> dict[str, float]:
    """Mean absolute deviation of measured from predicted, over all models and lengths."""
    if not cells:
        return dict.fromkeys(("geometric", "product", "quasilinear"), math.nan)
    return {
        "geometric": float(np.mean([abs(c.accuracy - c.geometric) for c in cells])),
        "product": float(np.mean([abs(c.accuracy - c.product) for c in cells])),
        "quasilinear": float(np.mean([abs(c.distance - c.quasilinear) for c in cells])),
    }
