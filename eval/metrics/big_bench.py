"""BIG-bench's metrics over all items of a task at once, and what guessing scores.

Brier score and calibration error run over all choices of all items alike, so that an item with
more choices weighs more. BLEU and ROUGE are sacrebleu's and rouge-score's (the extra `text`).
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.metrics.outcome import Outcome
from eval.metrics.per_item import choice_probabilities, multiple_choice_grade
from eval.tasks.generated import TaskError
from eval.tasks.grading import grading_of

Floats = NDArray[np.float64]
Again = Callable[[NDArray[np.int64]], float]
N_BINS = 10


def guessed(outcomes: Sequence[Outcome]) -> float | None:
    """Mean score of a uniform guess: over items, the mean worth of their choices."""
    worth = [float(np.mean(one.choice_scores)) for one in outcomes if one.choice_scores]
    return float(np.mean(worth)) if worth else None


def best(outcomes: Sequence[Outcome]) -> float | None:
    """Mean score of always choosing a best choice."""
    worth = [max(one.choice_scores) for one in outcomes if one.choice_scores]
    return float(np.mean(worth)) if worth else None


def of_big_bench_values(
    outcomes: Sequence[Outcome],
) -> Iterator[tuple[str, float, int, Again | None]]:
    """(metric, value, items, value of a resample of the items) of each that applies."""
    scored = [one for one in outcomes if one.choice_logprobs]
    if scored:
        for name, measure, parts in (
            ("brier_over_choices", brier_over_choices, brier_parts(scored)),
            ("choice_calibration_error", choice_calibration_error, calibration_parts(scored)),
        ):
            yield (
                name,
                measure(parts),
                len(parts),
                lambda index, measure=measure, parts=parts: measure(parts[index]),
            )
    rules = grading_of(outcomes[0].layout) if outcomes else None
    if rules is None:
        return
    if scored and "multiple_choice_grade" in rules.metrics:
        yield from _normalized_grade(scored)
    written = [one for one in outcomes if one.output is not None]
    if written and "bleu" in rules.metrics:
        yield "bleu", bleu(written), len(written), None
    if written and "rouge" in rules.metrics:
        for name, value in rouge(written).items():
            yield name, value, len(written), None


def brier_parts(outcomes: Sequence[Outcome]) -> Floats:
    """Sum of (p - y)^2 over each item's choices, and their number, (items, 2)."""
    pairs = [(choice_probabilities(one), _right(one)) for one in outcomes]
    return np.array([[np.sum((p - y) ** 2), len(p)] for p, y in pairs])


def brier_over_choices(parts: Floats) -> float:
    """Mean of (p - y)^2 over every choice of every item; y is 1 for the best choices."""
    squares, n_choices = parts.sum(axis=0)
    return float(squares / n_choices)


def calibration_parts(outcomes: Sequence[Outcome]) -> Floats:
    """Sum of p - y over each item's choices by bin of p, then their number, (items, bins + 1)."""
    rows = []
    for one in outcomes:
        p, y = choice_probabilities(one), _right(one)
        index = np.minimum((p * N_BINS).astype(int), N_BINS - 1)
        rows.append([*np.bincount(index, weights=p - y, minlength=N_BINS), len(p)])
    return np.array(rows)


def choice_calibration_error(parts: Floats) -> float:
    """Expected calibration error of every choice's probability, in bins of equal width."""
    *gaps, n_choices = parts.sum(axis=0)
    return float(np.abs(gaps).sum() / n_choices)


def bleu(outcomes: Sequence[Outcome]) -> float:
    """Corpus BLEU of sacrebleu, 0 to 100: exponential smoothing, international tokenisation.

    Raises:  TaskError: sacrebleu is not installed.
    """
    try:
        import sacrebleu
    except ImportError as error:
        raise TaskError(_NEEDED.format("bleu", "sacrebleu")) from error
    outputs = [one.graded or "" for one in outcomes]
    most = max(len(one.right_answers) for one in outcomes)
    # Texts with fewer references repeat their last: sacrebleu wants as many of each.
    references = [
        [one.right_answers[min(k, len(one.right_answers) - 1)] for one in outcomes]
        for k in range(most)
    ]
    found = sacrebleu.corpus_bleu(
        outputs, references, smooth_method="exp", force=False, lowercase=False, tokenize="intl"
    )
    return float(found.score)


def rouge(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Mean F1 of rouge-score, 0 to 100, of each output with the reference that suits it best.

    Raises:  TaskError: rouge-score is not installed.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise TaskError(_NEEDED.format("rouge", "rouge-score")) from error
    names = ("rouge1", "rouge2", "rougeLsum")
    scorer = RougeScorer(list(names))
    totals = dict.fromkeys(names, 0.0)
    for one in outcomes:
        scores = [scorer.score(right, one.graded or "") for right in one.right_answers]
        for name in names:
            totals[name] += max(score[name].fmeasure for score in scores)
    return {name: 100 * total / len(outcomes) for name, total in totals.items()}


_NEEDED = "metric {} needs {}: pip install 'isoflop[text]', then rescore=true"


def _normalized_grade(scored: Sequence[Outcome]) -> Iterator[tuple[str, float, int, None]]:
    """100 (score - low) / (high - low): low is a guess's mean, high that of the best choices."""
    low, high = guessed(scored), best(scored)
    if low is not None and high is not None and high > low:
        grades = np.array([multiple_choice_grade(one) for one in scored], dtype=float)
        score = 100 * (float(grades.mean()) - low) / (high - low)
        yield "multiple_choice_grade_normalized", score, len(scored), None


def _right(outcome: Outcome) -> Floats:
    worth = np.array(outcome.choice_scores, dtype=float)
    return (worth == worth.max()).astype(float)
