"""Sliding windows: which tokens of a long text are read together, and which of them are scored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.lm.memory import PASS_ON_CPU, batch_tokens, in_batches, rows_within
from eval.tasks.generated import TaskError

MOST_LOGITS = 2**27
"""Rows x tokens x vocabulary of a batch: 512 MiB in float32, at any `batch_tokens`."""


@dataclass(frozen=True)
class Window:
    """Tokens start..end of a text are read; those from `first` on are scored."""

    text: int
    start: int
    end: int
    first: int


def windows(n_tokens: int, context: int, stride: int, text: int = 0) -> Iterator[Window]:
    """Windows of at most `context` tokens that score each token once, the first one excepted.

    Every token but those of the first window has at least context - stride tokens before it.

    Raises:  TaskError: a stride outside 1..context - 1, so that a scored token would lack context.
    """
    if not 1 <= stride < context:
        raise TaskError(f"stride={stride} must lie in 1..{context - 1}, below context={context}")
    first, end = 1, min(context, n_tokens)
    while first < n_tokens:
        yield Window(text, max(0, end - context), end, first)
        first, end = end, min(end + stride, n_tokens)


@torch.inference_mode()
def nll_by_text(
    model: Any,
    texts: Sequence[Sequence[int]],
    context: int,
    stride: int,
    most_tokens: int | None,
) -> NDArray[np.float64]:
    """Summed negative log-likelihood of each text's tokens after its first, nats, shape (texts,).

    Raises:  TaskError: NaN, or a stride that does not fit the context.
    """
    plan = [w for i, text in enumerate(texts) for w in windows(len(text), context, stride, i)]
    plan.sort(key=lambda window: window.start - window.end)
    total = np.zeros(len(texts))
    most = min(
        batch_tokens(model, most_tokens, on_cpu=PASS_ON_CPU),
        MOST_LOGITS // int(model.config.vocab_size),
    )

    def run(start: int, end: int) -> None:
        batch = plan[start:end]
        longest = batch[0].end - batch[0].start
        tokens = torch.zeros(len(batch), longest, dtype=torch.long)
        scored = torch.zeros(len(batch), longest, dtype=torch.bool)
        for row, window in enumerate(batch):
            # Padding on the right, where causal attention keeps it out of every real token.
            n = window.end - window.start
            tokens[row, :n] = torch.tensor(texts[window.text][window.start : window.end])
            scored[row, window.first - window.start : n] = True
        tokens, scored = tokens.to(model.device), scored.to(model.device)
        logits = model(input_ids=tokens, use_cache=False).logits[:, :-1].float()
        loss = logits.logsumexp(-1) - logits.gather(2, tokens[:, 1:, None]).squeeze(2)
        summed = (loss.double() * scored[:, 1:]).sum(1).tolist()
        for window, value in zip(batch, summed, strict=True):
            total[window.text] += value

    in_batches(len(plan), rows_within(len(plan), most / context), run)
    if np.isnan(total).any():
        raise TaskError(
            f"{np.isnan(total).sum()} of {len(total)} texts have a loss that is NaN, expected "
            f"none; the checkpoint's weights are damaged or overflow in its number type"
        )
    return total
