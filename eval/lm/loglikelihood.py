"""Teacher-forced log-probabilities of continuations, from the prompt's cache."""

import copy
import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


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
        return copy.deepcopy(self.cache)


@torch.inference_mode()
def read_prompts(model: Any, prompts: Sequence[Sequence[int]]) -> Read:
    """One forward pass over prompts; shorter ones are padded on the left and masked."""
    length = max(map(len, prompts))
    tokens = torch.tensor(
        [[0] * (length - len(prompt)) + list(prompt) for prompt in prompts], device=model.device
    )
    options: dict[str, Any] = {"logits_to_keep": 1} if takes(model, "logits_to_keep") else {}
    mask = None
    if any(len(prompt) < length for prompt in prompts):
        n_pads = torch.tensor([length - len(prompt) for prompt in prompts], device=model.device)
        mask = (torch.arange(length, device=model.device) >= n_pads[:, None]).long()
        options |= masked(model, mask, length)
    output = model(input_ids=tokens, use_cache=True, **options)
    return Read(output.logits[:, -1].float(), output.past_key_values, mask)


def masked(model: Any, mask: Tensor, n_new: int) -> dict[str, Tensor]:
    """Arguments for the last n_new tokens under a mask: positions count what is not padding."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -n_new:]
    own = {"position_ids": positions} if takes(model, "position_ids") else {}
    return {"attention_mask": mask} | own


def takes(model: Any, name: str) -> bool:
    """Whether a model's forward pass has a parameter of this name."""
    return name in _parameters(type(model))


@functools.cache
def _parameters(kind: type) -> frozenset[str]:
    return frozenset(inspect.signature(kind.forward).parameters)  # pyright: ignore[reportAttributeAccessIssue]


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
    tokens = torch.zeros(len(continuations), longest, dtype=torch.long)
    for row, continuation in enumerate(continuations):
        tokens[row, : lengths[row]] = torch.tensor(continuation)
    tokens = tokens.to(model.device)
    logits = read.logits[:, None]
    if longest > 1:
        options = {}
        if read.mask is not None:
            ones = torch.ones(len(tokens), longest - 1, dtype=torch.long, device=model.device)
            options = masked(model, torch.cat([read.mask, ones], dim=1), longest - 1)
        output = model(
            input_ids=tokens[:, :-1], past_key_values=read.fork(), use_cache=True, **options
        )
        logits = torch.cat([logits, output.logits.float()], dim=1)
    chosen = logits.gather(2, tokens[:, :, None]).squeeze(2) - logits.logsumexp(dim=2)
    hits = logits.argmax(dim=2) == tokens
    rows = zip(chosen.tolist(), hits.tolist(), lengths, strict=True)
    return [(logprobs[:n], hit[:n]) for logprobs, hit, n in rows]
