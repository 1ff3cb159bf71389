"""Log-probabilities of continuations behind contexts, in as few and as full passes as they allow.

Contexts of unlike length are padded on the right, where causal attention keeps padding out.
Continuations of one context are read in one row, where each sees the context and itself alone; a
prefix that many contexts share is read once. Both are checked against a plain pass over the
checkpoint's own first row, and left where they do not agree (some architectures have no such
masks). Logits are computed of the positions that are asked for alone.
"""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from eval.lm.extend import takes
from eval.lm.memory import PASS_ON_CPU, batch_tokens, in_batches, is_out_of_memory
from eval.lm.pair_rows import Row, Tokens, batch_end, clusters, ordered, rows_of

_log = logging.getLogger(__name__)

MOST_LOGITS = 2**26
"""Predicted tokens x vocabulary of a batch: 256 MiB in float32."""

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_TOLERANCE_HALF = 0.05


class PairScorer:
    """Scores pairs with one model; `most_tokens` bounds those of a batch (None: by memory)."""

    def __init__(self, model: Any, most_tokens: int | None = None) -> None:
        self.model = model
        self.batch_tokens = batch_tokens(model, most_tokens, on_cpu=PASS_ON_CPU)
        self.most_predicted = max(1, MOST_LOGITS // int(model.config.vocab_size))
        self._works: dict[str, bool] = {}

    def __call__(
        self,
        pairs: Sequence[tuple[Tokens, Tokens]],
        advance: Callable[[int], None] = lambda n_pairs: None,
    ) -> list[tuple[float, bool]]:
        """(summed log-probability in nats, is every token the argmax) of each pair.

        Args:    pairs: (context, continuation) token ids, neither empty; advance: told of pairs.
        """
        results: list[tuple[float, bool]] = [(0.0, False)] * len(pairs)
        for n_prefix, rows in clusters(self._rows(pairs)):
            shares = n_prefix > 0 and self._agrees("prefix", rows[0], n_prefix)
            n_read = n_prefix if shares else 0
            cache = self._read(rows[0].tokens[:n_read]) if n_read else None
            self._score_all(ordered(rows), n_read, cache, results, advance)
        return results

    def _score_all(
        self,
        rows: list[Row],
        n_prefix: int,
        cache: Any,
        results: list[tuple[float, bool]],
        advance: Callable[[int], None],
    ) -> None:
        def end_of(start: int, share: float) -> int:
            most = share * self.batch_tokens, share * self.most_predicted
            return batch_end(rows, start, n_prefix, *most)

        def run(start: int, end: int) -> None:
            batch = rows[start:end]
            for number, result in self._scored(batch, n_prefix, cache):
                results[number] = result
            advance(sum(row.n_pairs for row in batch))

        in_batches(len(rows), end_of, run)

    def _rows(self, pairs: Sequence[tuple[Tokens, Tokens]]) -> list[Row]:
        config = self.model.config
        # Attention in windows knows no masks of ours, so a row with one stays within the window.
        limits = [
            getattr(config, name, None)
            for name in ("max_position_embeddings", "sliding_window", "attention_chunk_size")
        ]
        most = min([limit for limit in limits if limit], default=2**31)
        rows = rows_of(pairs, most, packed=True)
        several = next((row for row in rows if not row.is_plain), None)
        if several is None or (
            takes(self.model, "position_ids") and self._agrees("packed", several)
        ):
            return rows
        return rows_of(pairs, most, packed=False)

    def _agrees(self, what: str, row: Row, n_prefix: int = 0) -> bool:
        """Whether a way to read is as good as a plain pass for this architecture; asked once."""
        if what not in self._works:
            plain = dict(self._plain(row))
            try:
                cache = self._read(row.tokens[:n_prefix]) if n_prefix else None
                found = dict(self._scored([row], n_prefix, cache))
                gap = max(abs(found[i][0] - plain[i][0]) for i in plain)
            except (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError) as e:
                if is_out_of_memory(e):
                    raise
                _log.info("%s rows cannot be read by this model: %s", what, e)
                gap = float("inf")
            most = _TOLERANCE.get(self.model.dtype, _TOLERANCE_HALF) * row.n_predicted
            self._works[what] = gap <= most
            if not self._works[what]:
                _log.info("%s rows differ by %.2g nats; every pair is read by itself", what, gap)
        return self._works[what]

    def _plain(self, row: Row) -> Iterator[tuple[int, tuple[float, bool]]]:
        context = tuple(row.tokens[: row.n_context])
        numbers = [numbers[0] for _, numbers in row.continuations]
        alone = [(context, tokens) for tokens, _ in row.continuations]
        for one in rows_of(alone, 2**31, packed=False):
            for i, result in self._scored([one], 0, None):
                yield numbers[i], result

    @torch.inference_mode()
    def _read(self, tokens: Sequence[int]) -> Any:
        given = torch.tensor([list(tokens)], device=self.model.device)
        last = {"logits_to_keep": 1} if takes(self.model, "logits_to_keep") else {}
        return self.model(input_ids=given, use_cache=True, **last).past_key_values

    @torch.inference_mode()
    def _scored(
        self, batch: Sequence[Row], n_prefix: int, cache: Any
    ) -> list[tuple[int, tuple[float, bool]]]:
        """(number of a pair, its result) of every pair of a batch behind the prefix's cache."""
        width = max(len(row.tokens) for row in batch) - n_prefix
        tokens = torch.zeros(len(batch), width, dtype=torch.long)
        at_row, at, targets, owner = [], [], [], []
        n_owners = 0
        for i, row in enumerate(batch):
            tokens[i, : len(row.tokens) - n_prefix] = torch.tensor(row.tokens[n_prefix:])
            for (continuation, _), start in zip(row.continuations, row.starts, strict=True):
                n = len(continuation)
                at_row += [i] * n
                at += [row.n_context - 1, *range(start, start + n - 1)]
                targets += continuation
                owner += [n_owners] * n
                n_owners += 1
        device = self.model.device
        options: dict[str, Any] = {"use_cache": cache is not None}
        if cache is not None:
            options["past_key_values"] = copy.deepcopy(cache)
            options["past_key_values"].batch_repeat_interleave(len(batch))
        if not all(row.is_plain for row in batch):
            positions, mask = _layout(batch, n_prefix, width, self.model.dtype)
            options |= {"position_ids": positions.to(device), "attention_mask": mask.to(device)}
        rows = torch.tensor(at_row, device=device)
        columns = torch.tensor(at, device=device) - n_prefix
        with _only(self.model, rows, columns) as picked:
            output = self.model(input_ids=tokens.to(device), **options)
            logits = picked(output.logits).float()
        wanted = torch.tensor(targets, device=device)
        gained = logits.gather(1, wanted[:, None]).squeeze(1) - logits.logsumexp(1)
        missed = (logits.argmax(1) != wanted).double()
        group = torch.tensor(owner, device=device)
        sums = torch.zeros(2, n_owners, dtype=torch.float64, device=device)
        sums.index_add_(1, group, torch.stack([gained.double(), missed]))
        totals, misses = sums.tolist()
        asked = (numbers for row in batch for _, numbers in row.continuations)
        return [
            (number, (totals[k], misses[k] == 0))
            for k, numbers in enumerate(asked)
            for number in numbers
        ]


def _layout(
    batch: Sequence[Row], n_prefix: int, width: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Positions (rows, width) and additive mask (rows, 1, width, n_prefix + width) of packed rows.

    Each continuation counts on from its context, and sees that and itself.
    """
    positions = torch.arange(n_prefix, n_prefix + width).repeat(len(batch), 1)
    segment = torch.zeros(len(batch), width, dtype=torch.long)
    for i, row in enumerate(batch):
        for k, start in enumerate(row.starts):
            end = row.starts[k + 1] if k + 1 < len(row.starts) else len(row.tokens)
            part = slice(start - n_prefix, end - n_prefix)
            segment[i, part] = k + 1
            positions[i, part] = torch.arange(row.n_context, row.n_context + end - start)
        # Padding would count on beyond the model's positions.
        positions[i, len(row.tokens) - n_prefix :] = 0
    own = (segment[:, None, :] == segment[:, :, None]) | (segment[:, None, :] == 0)
    seen = own & torch.ones(width, width, dtype=torch.bool).tril()
    whole = torch.cat([torch.ones(len(batch), width, n_prefix, dtype=torch.bool), seen], dim=2)
    mask = torch.zeros(whole.shape, dtype=dtype).masked_fill_(~whole, torch.finfo(dtype).min)
    return positions, mask[:, None]


@contextmanager
def _only(model: Any, rows: Tensor, columns: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
    """The model's head computes the logits of these positions alone; yields how to take them.

    What comes behind the head (scaling, soft caps, masked ids) works on them as on all.
    """
    head = model.get_output_embeddings()
    reduced: list[bool] = []

    def reduce(module: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        reduced.append(True)
        return (given[0][rows, columns][None], *given[1:])

    def picked(logits: Tensor) -> Tensor:
        return logits[0] if reduced else logits[rows, columns]

    handle = head.register_forward_pre_hook(reduce) if isinstance(head, torch.nn.Module) else None
    try:
        yield picked
    finally:
        if handle is not None:
            handle.remove()
