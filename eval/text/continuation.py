"""The next k tokens of running text: any checkpoint can be asked, and items differ in difficulty.

A window of a text gives `context` tokens to read and the tokens that follow them to predict. The
first k are right if each is the argmax given those before it, which is what greedy decoding checks.
Some windows are certain (an indentation), others hopeless, so over all of them exact match is not
p^k; `strata` sorts them by a reference model's loss, and within a stratum it may be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from eval.lm.generate import greedy
from eval.lm.loglikelihood import read_prompts, score
from eval.lm.memory import batch_tokens, in_batches, rows_within
from eval.metrics.aggregate import Measurement, interval
from eval.metrics.chance import commonest_share
from eval.tasks.generated import TaskError
from eval.text.windows import MOST_LOGITS

Floats = NDArray[np.float64]
NO_STOP = (-1,)
"""No token ends a continuation."""


@dataclass(frozen=True)
class Continuations:
    """What a model did with windows: log-probabilities, hits and greedy tokens, each (items, k)."""

    logprobs: Floats
    hits: NDArray[np.bool_]
    target: NDArray[np.int64]
    output: NDArray[np.int64]

    @property
    def loss(self) -> Floats:
        """Mean loss of each item's tokens, nats, shape (items,)."""
        return -self.logprobs.mean(axis=1)


def draw_windows(
    texts: Sequence[Sequence[int]], context: int, length: int, n_items: int, seed: int
) -> NDArray[np.int64]:
    """Windows of context + length tokens that do not overlap, drawn without replacement.

    Raises:  TaskError: no text is as long as one window.
    """
    size = context + length
    places = [
        (i, start) for i, text in enumerate(texts) for start in range(0, len(text) - size + 1, size)
    ]
    if not places:
        longest = max(map(len, texts), default=0)
        raise TaskError(
            f"no text has the {size} tokens of one window (context={context} and {length} to "
            f"predict); the longest has {longest}; lower task.context"
        )
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.permutation(len(places))[:n_items].tolist())
    return np.array([texts[i][s : s + size] for i, s in (places[c] for c in chosen)], np.int64)


def answer_windows(
    model: Any, windows: NDArray[np.int64], context: int, most_tokens: int | None
) -> Continuations:
    """Score and greedily continue each window behind its first `context` tokens."""
    n_new = windows.shape[1] - context
    most = min(batch_tokens(model, most_tokens) / windows.shape[1],
               MOST_LOGITS / (int(model.config.vocab_size) * n_new))  # fmt: skip
    logprobs, hits, output = [], [], []

    def run(start: int, end: int) -> None:
        batch = windows[start:end]
        read = read_prompts(model, batch[:, :context].tolist())
        scored = score(model, read, batch[:, context:].tolist())
        decoded = greedy(model, read, NO_STOP, n_new)
        for (given, hit), one in zip(scored, decoded, strict=True):
            logprobs.append(given)
            hits.append(hit)
            output.append(one.tokens)

    in_batches(len(windows), rows_within(len(windows), most), run)
    found = Continuations(
        np.array(logprobs), np.array(hits), windows[:, context:], np.array(output, np.int64)
    )
    if np.isnan(found.logprobs).any():
        raise TaskError("log-probabilities are NaN, expected none; the weights are damaged")
    return found


def strata(loss: Floats, n_strata: int) -> NDArray[np.int64]:
    """The stratum of each item by the reference's loss, 0 the easiest, all of nearly one size."""
    ranks = np.argsort(np.argsort(loss, kind="stable"), kind="stable")
    return ranks * n_strata // len(loss)


def measurements(found: Continuations, lengths: Sequence[int]) -> Iterator[Measurement]:
    """Metrics of the first k tokens for each k, of the whole for the longest, and by position."""
    for k in sorted(lengths):
        whole = k == max(lengths)
        for one in _of_length(found, k):
            yield Measurement(*one[:-1], target_length=k, chance=one[-1])
            if whole:
                yield Measurement(*one[:-1], chance=one[-1])
        for position in range(1, k + 1):
            hit = found.hits[:, position - 1].astype(float)
            chance = commonest_share(found.target[:, position - 1].tolist())
            yield Measurement(
                "token_accuracy", float(hit.mean()), *interval(hit), len(hit),
                target_length=k, position=position, chance=chance,
            )  # fmt: skip


def _of_length(found: Continuations, k: int) -> Iterator[tuple[Any, ...]]:
    """(metric, value, low, high, items, chance) of the first k tokens."""
    target, output = found.target[:, :k].tolist(), found.output[:, :k].tolist()
    pairs = zip(output, target, strict=True)
    distance = np.array([Levenshtein.distance(a, b) for a, b in pairs], float)
    tokens = np.mean([commonest_share(column) for column in zip(*target, strict=True)])
    for metric, values, chance in (
        ("exact_match", found.hits[:, :k].all(axis=1).astype(float),
         commonest_share(list(map(tuple, target)))),
        ("token_edit_distance", distance, None),
        ("token_accuracy", found.hits[:, :k].mean(axis=1), float(tokens)),
        ("token_nll", -found.logprobs[:, :k].mean(axis=1), None),
        ("answer_probability", np.exp(found.logprobs[:, :k].sum(axis=1)), None),
    ):  # fmt: skip
        yield (metric, float(values.mean()), *interval(values), len(values), chance)
