"""Metrics of a model's answers, each one pure function of one item's stored outcome.

Everything is computed from an `Outcome`, the stored row of an item, so a metric added later needs
no model. An item metric returns None where it does not apply (no choices, no samples, ...).
"""

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from eval.metrics.outcome import Outcome

Z_95 = 1.959963984540054
PROBABILITY_THRESHOLDS = (0.1, 0.5, 0.9)
MAX_POSITIONS = 12


def exact_match(outcome: Outcome) -> float | None:
    """1 if the graded part of the decoded output is complete and a right answer."""
    if outcome.output is None:
        return None
    return float(outcome.is_right(outcome.graded))


def token_edit_distance(outcome: Outcome) -> float | None:
    """Levenshtein distance, in tokens, of the output cut at its stop token from the target."""
    if outcome.output is None:
        return None
    return float(Levenshtein.distance(outcome.output_tokens, outcome.target_tokens))


def token_edit_distance_normalized(outcome: Outcome) -> float | None:
    """`token_edit_distance` over the number of target tokens; above 1 for overlong outputs."""
    distance = token_edit_distance(outcome)
    return None if distance is None else distance / max(1, len(outcome.target_tokens))


def token_accuracy(outcome: Outcome) -> float | None:
    """Share of target tokens (stop token left out) that are the argmax, given those before."""
    hits = outcome.answer_hits
    return sum(hits) / len(hits) if hits else None


def stop_accuracy(outcome: Outcome) -> float | None:
    """1 if the stop token is the argmax behind the target."""
    return float(outcome.target_hits[-1]) if outcome.target_hits else None


def target_nll(outcome: Outcome) -> float | None:
    """Negative log-likelihood of the target with its stop token, nats."""
    return -sum(outcome.target_logprobs) if outcome.target_logprobs else None


def target_nll_per_token(outcome: Outcome) -> float | None:
    """`target_nll` over its number of tokens, stop token included, nats per token."""
    total = target_nll(outcome)
    return None if total is None else total / len(outcome.target_logprobs)


def token_nll(outcome: Outcome) -> float | None:
    """Mean negative log-likelihood of the target's tokens, stop token left out, nats per token."""
    given = outcome.target_logprobs[:-1]
    return -sum(given) / len(given) if given else None


def answer_probability(outcome: Outcome) -> float | None:
    """exp(sum of target log-probabilities): P(fully correct) at temperature 1, exact."""
    total = target_nll(outcome)
    return None if total is None else math.exp(-total)


def multiple_choice_grade(outcome: Outcome) -> float | None:
    """The score of the likeliest choice, BIG-bench's; a tie among k choices gives their mean."""
    if not outcome.choice_logprobs:
        return None
    return _graded_choice(outcome, np.array(outcome.choice_logprobs))


def multiple_choice_grade_per_character(outcome: Outcome) -> float | None:
    """`multiple_choice_grade` with log-probabilities divided by the choice's characters."""
    if not outcome.choice_logprobs:
        return None
    lengths = [max(1, len(choice)) for choice in outcome.choices]
    scaled = np.array(outcome.choice_logprobs) / lengths
    return _graded_choice(outcome, scaled)


def multiple_choice_grade_per_byte(outcome: Outcome) -> float | None:
    """`multiple_choice_grade` with log-probabilities divided by the choice's bytes in UTF-8."""
    if not outcome.choice_logprobs:
        return None
    sizes = [max(1, len(choice.encode("utf-8", "surrogatepass"))) for choice in outcome.choices]
    return _graded_choice(outcome, np.array(outcome.choice_logprobs) / sizes)


def multiple_choice_grade_per_token(outcome: Outcome) -> float | None:
    """`multiple_choice_grade` with log-probabilities divided by the choice's tokens."""
    if not outcome.choice_logprobs or not outcome.choice_n_tokens:
        return None
    return _graded_choice(
        outcome, np.array(outcome.choice_logprobs) / np.array(outcome.choice_n_tokens)
    )


def multiple_choice_grade_pmi(outcome: Outcome) -> float | None:
    """`multiple_choice_grade` by pointwise mutual information: ln p(choice | prompt) / p(choice).

    p(choice) is that behind `pmi_prompt`, a prompt without the question.
    Source:  Brown et al. 2020, section 2.4; Holtzman et al. 2021 (domain-conditional PMI).
    """
    if not outcome.choice_logprobs or not outcome.choice_base_logprobs:
        return None
    gained = np.array(outcome.choice_logprobs) - np.array(outcome.choice_base_logprobs)
    return _graded_choice(outcome, gained)


def choice_probability(outcome: Outcome) -> float | None:
    """Probability on the right choices, normalised over the choices."""
    if not outcome.choice_logprobs:
        return None
    return float(choice_probabilities(outcome) @ (np.array(outcome.choice_scores) > 0))


def brier_sum(outcome: Outcome) -> float | None:
    """sum over choices of (p - y)^2, as lm-evaluation-harness counts it; 0 best, 2 worst."""
    if not outcome.choice_logprobs:
        return None
    return float(np.sum((choice_probabilities(outcome) - _one_hot(outcome)) ** 2))


def brier_mean(outcome: Outcome) -> float | None:
    """`brier_sum` over the number of choices, as BIG-bench counts it."""
    total = brier_sum(outcome)
    return None if total is None else total / len(outcome.choices)


def confidence_brier(outcome: Outcome) -> float | None:
    """(P(output) - exact match)^2: is the model's probability of its own output honest?"""
    right = exact_match(outcome)
    if right is None or outcome.output_logprob is None:
        return None
    return (math.exp(outcome.output_logprob) - right) ** 2


def p_true_accuracy(outcome: Outcome) -> float | None:
    """1 if the model's yes/no judgement of its own output agrees with exact match."""
    right = exact_match(outcome)
    if right is None or outcome.p_true is None:
        return None
    return float((outcome.p_true > 0.5) == (right == 1.0))


def p_true_brier(outcome: Outcome) -> float | None:
    """(P(True) - exact match)^2 of the model's judgement of its output (Kadavath et al. 2022)."""
    right = exact_match(outcome)
    if right is None or outcome.p_true is None:
        return None
    return (outcome.p_true - right) ** 2


def majority_match(outcome: Outcome) -> float | None:
    """1 if the commonest sampled answer is right (self-consistency); ties go to the first drawn."""
    if not outcome.sample_outputs:
        return None
    given = [sample for sample in outcome.samples if sample]
    winner = Counter(given).most_common(1)[0][0] if given else None
    return float(outcome.is_right(winner))


def pass_at(k: int) -> Callable[[Outcome], float | None]:
    """P(one of k samples is right), unbiased: 1 - C(n-c, k) / C(n, k) with c of n right.

    Source:  Chen et al. 2021, eq. 1. None where fewer than k samples were drawn.
    """

    def pass_at_k(outcome: Outcome) -> float | None:
        n = len(outcome.sample_outputs)
        if n < k:
            return None
        right = sum(map(outcome.is_right, outcome.samples))
        return 1 - math.comb(n - right, k) / math.comb(n, k)

    return pass_at_k


def probability_at_least(threshold: float) -> Callable[[Outcome], float | None]:
    """1 if the exact probability of the right answer reaches the threshold."""

    def reaches(outcome: Outcome) -> float | None:
        probability = answer_probability(outcome)
        return None if probability is None else float(probability >= threshold)

    return reaches


def token_accuracy_at(position: int) -> Callable[[Outcome], float | None]:
    """1 if the target token at `position` (from 1) is the argmax, given those before."""

    def hit(outcome: Outcome) -> float | None:
        inside = position <= len(outcome.answer_hits)
        return float(outcome.answer_hits[position - 1]) if inside else None

    return hit


ItemMetric = Callable[[Outcome], float | None]
ITEM_METRICS: dict[str, ItemMetric] = {
    "exact_match": exact_match,
    "token_edit_distance": token_edit_distance,
    "token_edit_distance_normalized": token_edit_distance_normalized,
    "token_accuracy": token_accuracy,
    "stop_accuracy": stop_accuracy,
    "token_nll": token_nll,
    "target_nll": target_nll,
    "target_nll_per_token": target_nll_per_token,
    "answer_probability": answer_probability,
    **{f"probability>={t:g}": probability_at_least(t) for t in PROBABILITY_THRESHOLDS},
    "multiple_choice_grade": multiple_choice_grade,
    "multiple_choice_grade_per_character": multiple_choice_grade_per_character,
    "multiple_choice_grade_per_byte": multiple_choice_grade_per_byte,
    "multiple_choice_grade_per_token": multiple_choice_grade_per_token,
    "multiple_choice_grade_pmi": multiple_choice_grade_pmi,
    "choice_probability": choice_probability,
    "brier_sum": brier_sum,
    "brier_mean": brier_mean,
    "confidence_brier": confidence_brier,
    "p_true_accuracy": p_true_accuracy,
    "p_true_brier": p_true_brier,
    "majority_match": majority_match,
    **{f"pass@{k}": pass_at(k) for k in (1, 2, 4, 8, 16, 32, 64)},
}
LOWER_IS_BETTER = frozenset(
    {
        "token_edit_distance",
        "token_edit_distance_normalized",
        "token_nll",
        "target_nll",
        "target_nll_per_token",
        "brier_sum",
        "brier_mean",
        "confidence_brier",
        "p_true_brier",
        "calibration_error",
        "brier_over_choices",
        "choice_calibration_error",
        "p_true_calibration_error",
    }
)


def _graded_choice(outcome: Outcome, scores: NDArray[np.float64]) -> float | None:
    """Mean worth of the choices that share the highest score; None where a score is NaN."""
    if np.isnan(scores).any():
        return None
    return float(np.mean(np.array(outcome.choice_scores)[scores == scores.max()]))


def choice_probabilities(outcome: Outcome) -> NDArray[np.float64]:
    """Probabilities of an item's choices, normalised over them, shape (choices,)."""
    logits = np.array(outcome.choice_logprobs)
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def _one_hot(outcome: Outcome) -> NDArray[np.float64]:
    scores = np.array(outcome.choice_scores, dtype=float)
    return scores / scores.sum() if scores.sum() > 0 else scores
