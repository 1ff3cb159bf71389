"""What the report says of an ability: one paragraph a test, with its numbers and its limits."""

import math

import numpy as np

from analysis.emergence.abilities import Ability
from analysis.emergence.lengths import length_deviation
from analysis.emergence.metric_names import AXES, name_of
from analysis.emergence.study import AbilityStudy, MetricStudy, TokenModel
from analysis.format import count_label, number
from analysis.sections.prose.emergence_kinds import CLEAR, conclusion, seeds_paragraph
from eval.evals_table import DEFAULT_OPERANDS

PAIRS = (
    ("exact_match", "token_edit_distance"),
    ("multiple_choice_grade", "brier_mean"),
    ("multiple_choice_grade", "choice_probability"),
)
"""A nonlinear or discontinuous metric and a smoother one of the same answers."""


def paragraphs(study: AbilityStudy) -> list[str]:
    """What was measured, the three predictions, loss, the model, and what was not measured."""
    found = [conclusion(study), _what_was_measured(study), _metric_paragraph(study)]
    if study.seeds:
        found.append(seeds_paragraph(study.seeds))
    if study.resolutions:
        found.append(_resolution_paragraph(study))
    if study.lengths:
        found.append(_length_paragraph(study))
    found.append(_loss_paragraph(study))
    if study.model:
        found.append(_model_paragraph(study, study.model))
    if study.missing:
        found.append(f"Not measured for {study.ability.title}: {'; '.join(reasons(study))}.")
    return [paragraph for paragraph in found if paragraph]


def metric_pair(study: AbilityStudy) -> tuple[str, str] | None:
    """A sharp and a smooth metric that the ability has both of, the first pair of `PAIRS`."""
    measured = {metric.metric for metric in study.metrics}
    return next((pair for pair in PAIRS if set(pair) <= measured), None)


def split_means(ability: Ability) -> dict[str, dict[str, float]]:
    """Exact match of the largest scale by split: memorisation shows as seen above held-out."""
    # A mean over the seeds of the largest scale is fair here: both splits are of the same models.
    found = {}
    for split in ("heldout", "seen"):
        points = ability.points("exact_match", split)
        if len(points):
            x = points.column(ability.scale)
            found[split] = {
                "mean": float(points.values.mean()),
                "largest": float(points.values[x == x.max()].mean()),
            }
    return found


def reasons(study: AbilityStudy) -> list[str]:
    """Each part that could not be measured, with why."""
    return [f"{name_of(name)}: {reason}" for name, reason in study.missing.items()]


def _what_was_measured(study: AbilityStudy) -> str:
    ability = study.ability
    points = ability.points(study.metrics[0].metric)
    x = points.column(ability.scale)
    n_items = points.column("n_items")
    items = f", {n_items.max():,.0f} held-out items each" if np.isfinite(n_items).any() else ""
    text = (
        f"{ability.title}: {len(points)} checkpoints at {len(np.unique(x))} scales, "
        f"{AXES[ability.scale]} from {count_label(x.min())} to {count_label(x.max())}, "
        f"{len(points.seeds)} seed{'s' * (len(points.seeds) != 1)}{items}."
    )
    splits = split_means(ability)
    if len(splits) == 2:
        text += (
            f" At the largest scale exact match is {splits['heldout']['largest']:.3f} on held-out "
            f"problems and {splits['seen']['largest']:.3f} on problems of the training split; the "
            f"difference is what memorisation could account for."
        )
    return text


def _metric_paragraph(study: AbilityStudy) -> str:
    """Prediction 1: a nonlinear against a linear metric on the same outputs."""
    pair = metric_pair(study)
    if pair is None:
        return ""
    sharp, smooth = (study.metric(name) for name in pair)
    if sharp is None or smooth is None:
        return ""
    return (
        f"Prediction 1, the metric. From the same outputs {_scored(sharp)}; {_scored(smooth)}. A "
        f"straight line through {sharp.n_scales} points would score {sharp.n_scales - 1}. "
        + _conclusion(sharp, smooth)
        + _plateau(smooth)
    )


def _scored(metric: MetricStudy) -> str:
    seeds = ", ".join(number(score) for score in metric.seed_scores.values())
    each = f" ({metric.summary}; single seeds {seeds})" if len(metric.seed_scores) > 1 else ""
    return (
        f"{name_of(metric.metric)} has emergence score {number(metric.score)}{each}, where noise "
        f"around one level scores {number(metric.chance.median)} at the median and "
        f"{number(metric.chance.q95)} at 95 % (p = {metric.chance.p_value:.3g})"
    )


def _conclusion(sharp: MetricStudy, smooth: MetricStudy) -> str:
    above = abs(sharp.score) > abs(smooth.score)
    clear = sharp.chance.p_value < CLEAR
    ours, theirs = name_of(sharp.metric), name_of(smooth.metric)
    if above and clear:
        both = " too" if smooth.chance.p_value < CLEAR else ""
        rest = f"{theirs} {'is above its null' + both if both else 'is not'}"
        return f"{ours.capitalize()} is above its null and above {theirs}'s score; {rest}."
    if clear:
        return f"{ours.capitalize()} is above its null, but no more emergent than {theirs}."
    return f"{ours.capitalize()}'s score can't be told from noise at this number of scales."


def _plateau(smooth: MetricStudy) -> str:
    if not smooth.plateaus:
        return f" {name_of(smooth.metric).capitalize()} has no plateau over two steps or more."
    spans = " and ".join(f"{count_label(a)} to {count_label(b)}" for a, b in smooth.plateaus)
    return (
        f" {name_of(smooth.metric).capitalize()} is not smooth throughout: from {spans} each step "
        f"moves it by less than 5 % of its range."
    )


def _resolution_paragraph(study: AbilityStudy) -> str:
    """Prediction 2: more items."""
    parts = [
        f"with n = {r.n_items:,} {r.n_zero} of {r.n_models} models score exactly zero (so below "
        f"{r.ceiling:.2g} at 95 %) and the emergence score is {number(r.score)}"
        for r in study.resolutions
    ]
    exact = study.ability.points("answer_probability").values
    rest = ""
    if len(exact):
        rest = (
            f" The exact probability of a fully correct answer at temperature 1 is above zero for "
            f"all {len(exact)} of them, the lowest {number(float(exact.min()))}."
        )
    return f"Prediction 2, the resolution: {'; '.join(parts)}.{rest}"


def _length_paragraph(study: AbilityStudy) -> str:
    """Prediction 3: the target length."""
    deviation = length_deviation(study.lengths)
    lengths = ", ".join(str(n) for n in sorted({cell.length for cell in study.lengths}))
    text = (
        f"Prediction 3, the target length (on {study.length_source}; L = {lengths}; "
        f"{len(study.lengths)} model x length cells with at least 100 items). Exact match deviates "
        f"from p^L by {deviation['geometric']:.3f} on average and from the product of each "
        f"position's own accuracy by {deviation['product']:.3f}; token edit distance from L(1-p) "
        f"by {deviation['quasilinear']:.3f} tokens. What remains is dependence between positions "
        f"and, for the distance, errors that shift the output."
    )
    if study.length_source != study.ability.title and study.ability.operands == DEFAULT_OPERANDS:
        text += (
            " These items have all operand lengths alike, while short operands were rare in "
            "training: p is taken at each length, and accuracy need not fall as L grows."
        )
    return text


def _loss_paragraph(study: AbilityStudy) -> str:
    pair = metric_pair(study)
    if pair is None:
        return ""
    points = study.ability.points(pair[0])
    loss = points.column("loss")
    if not np.isfinite(loss).all() or len(np.unique(loss)) < 3:
        return ""
    order = np.argsort(-loss)
    steps = np.abs(np.diff(points.values[order]))
    k = int(np.argmax(steps))
    high, low = loss[order][k], loss[order][k + 1]
    return (
        f"Against loss instead of scale, {name_of(pair[0])} makes its largest step "
        f"({steps[k]:.3f}) between validation losses {high:.3f} and {low:.3f} nats/token. Seeds "
        f"that differ at one size are told apart by their loss as far as the loss-axis figure "
        f"shows one curve. {_smooth_on_loss(study, pair[1])}"
    )


def _smooth_on_loss(study: AbilityStudy, metric: str) -> str:
    """How straight the smooth metric is in the loss: R^2 of a line through the checkpoints."""
    points = study.ability.points(metric)
    loss = points.column("loss")
    if not np.isfinite(loss).all() or np.ptp(points.values) == 0:
        return ""
    r = float(np.corrcoef(loss, points.values)[0, 1])
    return f"{name_of(metric).capitalize()} is linear in the loss with R2 = {r * r:.2f}."


def _model_paragraph(study: AbilityStudy, model: TokenModel) -> str:
    law = model.law
    low, high = law.alpha_interval
    text = (
        f"Mathematical model: token loss (N/c)^alpha with alpha = {law.alpha:.3f} "
        f"(95 % {low:.3f} to {high:.3f}, R2 = {law.r_squared:.2f})"
    )
    if math.isfinite(model.threshold):
        text += f" puts 50 % exact match at N = {count_label(model.threshold)}"
        sharp = study.metric("exact_match")
        if sharp and sharp.transition and math.isfinite(sharp.transition.threshold):
            text += f"; the measured rise is centred at {count_label(sharp.transition.threshold)}"
    else:
        text += " never reaches 50 % exact match"
    if model.holdouts:
        first, last = model.holdouts[0], model.holdouts[-1]
        text += (
            f". Fitted to sizes up to {count_label(first.largest_fitted)} alone it misses the "
            f"larger sizes' exact match by {first.accuracy_error:.3f} on average, fitted up to "
            f"{count_label(last.largest_fitted)} by {last.accuracy_error:.3f}"
        )
    return text + "."
