"""Bits per byte of any text by domain, with intervals over documents."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.lm.tokenization import Vocabulary
from eval.metrics.aggregate import Measurement
from eval.text.documents import ALL, TextDocument
from eval.text.windows import nll_by_text

N_RESAMPLES = 1000


@dataclass(frozen=True)
class TextScores:
    """Documents of one checkpoint: bytes, tokens and summed loss in nats, each (documents,)."""

    domains: tuple[str, ...]
    names: tuple[str, ...]
    n_bytes: NDArray[np.int64]
    n_tokens: NDArray[np.int64]
    nll: NDArray[np.float64]


def score_documents(
    model: Any,
    vocab: Vocabulary,
    documents: Sequence[TextDocument],
    context: int,
    stride: int,
    batch_tokens: int | None,
) -> TextScores:
    """The loss of every token of every document, the first behind the tokenizer's start token."""
    start = vocab.bos_id if vocab.bos_id is not None else vocab.start_id
    texts = [[start, *ids] for ids in vocab.encode([document.text for document in documents])]
    nll = nll_by_text(model, texts, context, stride, batch_tokens)
    sizes = [len(one.text.encode("utf-8", "surrogatepass")) for one in documents]
    return TextScores(
        tuple(one.domain for one in documents),
        tuple(one.name for one in documents),
        np.array(sizes, np.int64),
        np.array([len(text) - 1 for text in texts], np.int64),
        nll,
    )


def by_domain(scores: TextScores) -> dict[str, list[Measurement]]:
    """bits_per_byte and token_nll of each domain, and of all together where there are several.

    The value is a ratio of sums, so long documents count by their length; its 95 % interval is a
    percentile bootstrap over documents, which need not be alike. One document has no interval.
    """
    domains = np.array(scores.domains, dtype=object)
    groups = {name: domains == name for name in dict.fromkeys(scores.domains)}
    if len(groups) > 1:
        groups[ALL] = np.ones(len(domains), bool)
    return {
        name: [
            _ratio("bits_per_byte", scores.nll[own] / math.log(2), scores.n_bytes[own]),
            _ratio("token_nll", scores.nll[own], scores.n_tokens[own]),
        ]
        for name, own in groups.items()
    }


def _ratio(metric: str, above: NDArray[Any], below: NDArray[Any]) -> Measurement:
    n, value = len(above), float(above.sum() / below.sum())
    if n < 2:
        return Measurement(metric, value, math.nan, math.nan, n)
    drawn = np.random.default_rng(0).integers(0, n, (N_RESAMPLES, n))
    low, high = np.quantile(above[drawn].sum(1) / below[drawn].sum(1), [0.025, 0.975])
    return Measurement(metric, value, float(low), float(high), n)
