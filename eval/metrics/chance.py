"""What an accuracy is by chance: a random choice, or the best answer that ignores the prompt."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from eval.metrics.per_item import MAX_POSITIONS, Outcome

CHOSEN = (
    "multiple_choice_grade",
    "multiple_choice_grade_per_character",
    "multiple_choice_grade_per_byte",
    "multiple_choice_grade_per_token",
    "multiple_choice_grade_pmi",
)
ANSWERED = ("exact_match", "majority_match")


def chance_levels(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Chance of each accuracy that these items have, by metric.

    Of choices: the mean worth of a choice drawn at random, item by item. Of written answers and of
    tokens: how often the commonest one is right. Answers are counted without the item itself, so
    that a few items with different answers have a chance of 0 rather than 1 in their number.
    """
    found: dict[str, float] = {}
    offered = [outcome.choice_scores for outcome in outcomes if outcome.choice_logprobs]
    if offered:
        found |= dict.fromkeys(CHOSEN, float(np.mean([np.mean(worth) for worth in offered])))
        right = [np.mean(np.array(worth) > 0) for worth in offered]
        found["choice_probability"] = float(np.mean(right))
    if any(outcome.output is not None for outcome in outcomes):
        answers = [outcome.right_answers[0] for outcome in outcomes]
        found |= dict.fromkeys(ANSWERED, commonest_share(answers))
    shares = [
        (len(tokens), commonest_share(tokens))
        for position in range(MAX_POSITIONS)
        if (tokens := tokens_at(outcomes, position + 1))
    ]
    if shares:
        counts, values = zip(*shares, strict=True)
        found["token_accuracy"] = float(np.average(values, weights=counts))
    return found


def tokens_at(outcomes: Sequence[Outcome], position: int) -> list[int]:
    """The target tokens at a position (from 1) of the answers that are as long as that."""
    answers = [outcome.target_tokens[outcome.n_leading :] for outcome in outcomes]
    return [tokens[position - 1] for tokens in answers if len(tokens) >= position]


def commonest_share(values: Sequence[Hashable]) -> float:
    """Share of the others that equal the commonest value: 0 where all differ, 1 where none do."""
    if len(values) < 2:
        return 0.0
    (_, count), *_ = Counter(values).most_common(1)
    return (count - 1) / (len(values) - 1)
