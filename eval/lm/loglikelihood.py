"""Teacher-forced log-probabilities of continuations, from the prompt's cache."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from eval.lm.extend import extend


@dataclass(frozen=True)
class Read:
    """Prompts read once: the next token's logits (rows, vocabulary) and the cache.

    Whoever continues from it works on a copy of the cache, so that scoring and decoding share it.
    `mask` (rows, length) is 0 at the padding before shorter prompts, None where all are as long.
    """

    logits: Tensor
    cache: Any
    mask: Tensor | None = None

    def fork(self) -> Any:
        """A cache that may be extended without touching this one."""
        from transformers.cache_utils import DynamicCache, DynamicLayer

        if type(self.cache) is DynamicCache and all(
            type(layer) is DynamicLayer for layer in self.cache.layers
        ):
            # Such a layer makes new tensors whenever it changes, so that both may hold these.
            forked = copy.copy(self.cache)
            forked.layers = [copy.copy(layer) for layer in self.cache.layers]
            return forked
        return copy.deepcopy(self.cache)


@torch.inference_mode()
def read_prompts(model: Any, prompts: Sequence[Sequence[int]]) -> Read:
    """One forward pass over prompts; shorter ones are padded on the left and masked."""
    length = max(map(len, prompts))
    tokens = torch.tensor(
        [[0] * (length - len(prompt)) + list(prompt) for prompt in prompts], device=model.device
    )
    mask = None
    if any(len(prompt) < length for prompt in prompts):
        n_pads = torch.tensor([length - len(prompt) for prompt in prompts], device=model.device)
        mask = (torch.arange(length, device=model.device) >= n_pads[:, None]).long()
    logits, cache = extend(model, tokens, mask=mask, last=True)
    return Read(logits[:, -1], cache, mask)


@torch.inference_mode()
def score(
    model: Any, read: Read, continuations: Sequence[Sequence[int]]
) -> list[tuple[list[float], list[bool]]]:
    """Log-probability of every token of one continuation a row, and whether it is the argmax.

    Args:    continuations: token ids, one non-empty list a row; lengths may differ.
    Returns: per row (log-probabilities in nats, hits), each as long as the continuation.
    Rows are padded on the right, where causal attention keeps the padding out of every real token.
    """
    lengths = [len(continuation) for continuation in continuations]
    longest = max(lengths)
    padded = [[*one, *[0] * (longest - len(one))] for one in continuations]
    tokens = torch.tensor(padded, dtype=torch.long, device=model.device)
    logits = read.logits[:, None]
    if longest > 1:
        mask = read.mask
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(tokens), longest - 1)], dim=1)
        behind, _ = extend(model, tokens[:, :-1], read.fork(), mask)
        logits = torch.cat([logits, behind], dim=1)
    chosen = logits.gather(2, tokens[:, :, None]).squeeze(2) - logits.logsumexp(dim=2)
    hits = logits.argmax(dim=2) == tokens
    rows = zip(chosen.tolist(), hits.tolist(), lengths, strict=True)
    return [(logprobs[:n], hit[:n]) for logprobs, hit, n in rows]
