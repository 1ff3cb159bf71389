"""Teacher-forced log-probabilities of continuations, from the prompt's cache."""

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Read:
    """Prompts of equal length, read once: the next token's logits (rows, vocabulary) and the cache.

    Whoever continues from it works on a copy of the cache, so that scoring and decoding share it.
    """

    logits: Tensor
    cache: Any

    def fork(self) -> Any:
        """A cache that may be extended without touching this one."""
        return copy.deepcopy(self.cache)


@torch.inference_mode()
def read_prompts(model: Any, prompts: Sequence[Sequence[int]]) -> Read:
    """One forward pass over prompts of one length, shape (rows, length); no padding, no mask."""
    tokens = torch.tensor(prompts, dtype=torch.long, device=model.device)
    last_alone = "logits_to_keep" in inspect.signature(model.forward).parameters
    output = model(
        input_ids=tokens, use_cache=True, **({"logits_to_keep": 1} if last_alone else {})
    )
    return Read(output.logits[:, -1].float(), output.past_key_values)


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
        output = model(input_ids=tokens[:, :-1], past_key_values=read.fork(), use_cache=True)
        logits = torch.cat([logits, output.logits.float()], dim=1)
    chosen = logits.gather(2, tokens[:, :, None]).squeeze(2) - logits.logsumexp(dim=2)
    hits = logits.argmax(dim=2) == tokens
    rows = zip(chosen.tolist(), hits.tolist(), lengths, strict=True)
    return [(logprobs[:n], hit[:n]) for logprobs, hit, n in rows]
