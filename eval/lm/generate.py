"""Batched decoding with a KV cache: greedy, and sampled from numbers drawn beforehand.

Nothing depends on how rows are batched: shorter prompts are padded on the left and masked, and a
sampled row uses its own uniform numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.lm.extend import extend
from eval.lm.loglikelihood import Read

Choose = Callable[[Tensor, int, Tensor], Tensor]
"""(logits of the live rows, step, their row numbers) -> one token each."""


@dataclass(frozen=True)
class Decoded:
    """One decoded output: tokens before the stop token, and the log-probability of all of them.

    `stop` is the token that ended it, None when the limit cut it off.
    """

    tokens: list[int]
    logprob: float
    stop: int | None


Ended = Callable[[Tensor], list[bool]]
"""(tokens of the live rows so far) -> whether each has ended by its text."""

CHECK_EVERY = 8
"""Steps between looks at the text, which takes as long as a step of a small model."""


def greedy(
    model: Any,
    read: Read,
    stop_ids: Sequence[int],
    max_new_tokens: int,
    ended: Ended | None = None,
) -> list[Decoded]:
    """The likeliest token at every step, until a stop token, the limit, or soon after `ended`."""

    def likeliest(logits: Tensor, step: int, rows: Tensor) -> Tensor:
        return logits.argmax(-1)

    return _decode(model, read, likeliest, stop_ids, max_new_tokens, ended)


def sample(
    model: Any,
    read: Read,
    stop_ids: Sequence[int],
    uniforms: NDArray[np.float64],
    temperature: float,
) -> list[Decoded]:
    """Tokens drawn at a temperature by inverting the cumulative probabilities.

    Args:    uniforms: in [0, 1), shape (rows, max_new_tokens): one number a row and step.
    """
    drawn = torch.tensor(uniforms, dtype=torch.float64, device=model.device)

    def choose(logits: Tensor, step: int, rows: Tensor) -> Tensor:
        cumulative = (logits.double() / temperature).softmax(-1).cumsum(-1)
        threshold = drawn[rows, step, None] * cumulative[:, -1:]
        found = torch.searchsorted(cumulative, threshold, right=True).squeeze(1)
        # Of NaN the search finds nothing; the item is refused later, by its log-probability.
        return found.clamp(max=cumulative.shape[1] - 1)

    return _decode(model, read, choose, stop_ids, uniforms.shape[1])


@torch.inference_mode()
def _decode(
    model: Any,
    read: Read,
    choose: Choose,
    stop_ids: Sequence[int],
    max_new_tokens: int,
    ended: Ended | None = None,
) -> list[Decoded]:
    """Extend every row until it stops; rows that have stopped leave the batch."""
    logits, cache, mask = read.logits, read.fork(), read.mask
    n_rows, device = len(logits), logits.device
    stops = torch.tensor(sorted(stop_ids), device=device)
    rows = torch.arange(n_rows, device=device)
    written = torch.full((n_rows, max_new_tokens), -1, dtype=torch.long, device=device)
    logprobs = torch.zeros(n_rows, dtype=torch.float64, device=device)
    for step in range(max_new_tokens):
        tokens = choose(logits, step, rows)
        written[rows, step] = tokens
        gain = logits.gather(1, tokens[:, None]).squeeze(1) - logits.logsumexp(1)
        logprobs[rows] += gain.double()
        going = ~torch.isin(tokens, stops)
        if ended is not None and step % CHECK_EVERY == CHECK_EVERY - 1:
            going &= ~torch.tensor(ended(written[rows, : step + 1]), device=device)
        if step + 1 == max_new_tokens or not going.any():
            break
        if not going.all():
            rows, tokens = rows[going], tokens[going]
            cache.batch_select_indices(going.nonzero().squeeze(1))
            mask = None if mask is None else mask[going]
        mask = None if mask is None else torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        behind, cache = extend(model, tokens[:, None], cache, mask)
        logits = behind[:, -1]
    return _finished(written.tolist(), logprobs.tolist(), frozenset(stop_ids))


def _finished(
    written: list[list[int]], logprobs: list[float], stop_ids: frozenset[int]
) -> list[Decoded]:
    decoded = []
    for tokens, logprob in zip(written, logprobs, strict=True):
        kept = [token for token in tokens if token >= 0]
        stopped = bool(kept) and kept[-1] in stop_ids
        decoded.append(
            Decoded(kept[:-1] if stopped else kept, logprob, kept[-1] if stopped else None)
        )
    return decoded
