"""Batches on their way to the device: a rank's share as tensors, made one step ahead on a GPU."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from train.data.dataset import Rows
from train.model.labels import IGNORED

T = TypeVar("T")


@dataclass(frozen=True)
class RankBatch:
    """One rank's rows of a batch, int64 (rows, seq_len), and the labels that all ranks count."""

    tokens: Tensor
    labels: Tensor
    n_labelled: int
    masked: bool

    def part(self, start: int, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Some rows on the device; copied while it computes where they lie in pinned memory."""
        chosen = slice(start, start + rows)
        pinned = self.tokens.is_pinned() if device.type not in ("cpu", "mps") else False
        return (
            self.tokens[chosen].to(device, non_blocking=pinned),
            self.labels[chosen].to(device, non_blocking=pinned),
        )

    def filled_up(self, rows: int) -> "RankBatch":
        """The batch with rows added, up to so many, whose labels carry no loss."""
        lacking = rows - len(self.tokens)
        if lacking <= 0:
            return self
        tokens = torch.nn.functional.pad(self.tokens, (0, 0, 0, lacking))
        labels = torch.nn.functional.pad(self.labels, (0, 0, 0, lacking), value=IGNORED)
        return RankBatch(tokens, labels, self.n_labelled, self.masked)


def rank_batch(batch: Rows, rank: int = 0, world: int = 1, pin: bool = False) -> RankBatch:
    """Every `world`-th row of a batch, from row `rank` on; `pin` for a copy that need not wait."""
    all_tokens, all_labels = batch
    n_labelled = int((all_labels != IGNORED).sum())
    pair = (np.ascontiguousarray(rows[rank::world]) for rows in (all_tokens, all_labels))
    tokens, labels = (torch.from_numpy(rows) for rows in pair)
    if pin:
        tokens, labels = tokens.pin_memory(), labels.pin_memory()
    return RankBatch(tokens, labels, n_labelled, masked=n_labelled < all_labels.size)


def in_turn(make: Callable[[int], T], steps: range, ahead: bool) -> Iterator[T]:
    """`make(step)` of every step in order; `ahead`: by a thread, while the one before is in use.

    A batch is a function of its step, so that its numbers do not depend on when it is made.
    Raises:  what `make` raises, at the step that it is raised for.
    """
    if not ahead:
        yield from map(make, steps)
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as thread:
        coming = thread.submit(make, steps[0]) if steps else None
        for step in steps:
            assert coming is not None
            batch = coming.result()
            coming = thread.submit(make, step + 1) if step + 1 in steps else None
            yield batch
