"""Validation loss of a model in training, shared among the ranks."""

from collections.abc import Iterator

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from train.config.spec import RunSpec
from train.data.dataset import Dataset, Rows
from train.data.prefetch import rank_batch
from train.engine.compile import is_compiled
from train.model.fsdp import is_sharded

EVAL_TOKENS = 8192
"""Tokens a forward pass of validation."""


@torch.no_grad()
def evaluate(
    spec: RunSpec, dataset: Dataset, model: nn.Module, accelerator: Accelerator
) -> dict[str, float]:
    """Validation loss of every data part, nats per labelled token.

    Ranks take turns at the batches, so their numbers of forward passes may differ by one; the
    module under DDP is called, since DDP itself would wait for the others at every pass.
    """
    model = _module(model)
    model.eval()
    rows = max(1, EVAL_TOKENS // spec.model.seq_len)
    together = is_sharded(model)
    losses = {}
    for part, shard in dataset.shards.items():
        total = torch.zeros(2, dtype=torch.float64, device=accelerator.device)
        for batch, counts in _turns(dataset.val_batches(part, rows), together, accelerator):
            masked = shard.row_length is not None
            nll, n_labelled = _loss(batch, rows, masked, model, accelerator)
            if counts:
                total += torch.stack([nll.double(), nll.new_tensor(n_labelled).double()])
        total = accelerator.reduce(total, reduction="sum")
        assert isinstance(total, Tensor)  # reduce keeps the type that it is given
        losses[part] = float(total[0] / total[1])
    model.train()
    return losses


@torch.no_grad()
def first_passes(
    spec: RunSpec, dataset: Dataset, model: nn.Module, accelerator: Accelerator
) -> None:
    """One pass of each kind that `evaluate` makes, so that a compiled model is compiled for it."""
    model = _module(model)
    model.eval()
    rows = max(1, EVAL_TOKENS // spec.model.seq_len)
    kinds = {shard.row_length is not None: part for part, shard in dataset.shards.items()}
    for masked, part in kinds.items():
        _loss(next(dataset.val_batches(part, rows)), rows, masked, model, accelerator)
    model.train()


def _module(model: nn.Module) -> nn.Module:
    return model.module if isinstance(model, DistributedDataParallel) else model


def _loss(
    batch: Rows, rows: int, masked: bool, model: nn.Module, accelerator: Accelerator
) -> tuple[Tensor, int]:
    """Loss and labelled positions of a batch; of a compiled model always over so many rows.

    Fewer, as the last batch of a part has, would be another shape to compile for.
    """
    mine = rank_batch(batch)
    if is_compiled(model):
        mine = mine.filled_up(rows)
    tokens, labels = mine.part(0, rows, accelerator.device)
    with accelerator.autocast():
        return model(tokens, labels, masked=masked), mine.n_labelled


def _turns(
    batches: Iterator[Rows], together: bool, accelerator: Accelerator
) -> Iterator[tuple[Rows, bool]]:
    """This rank's batches. `together`: ranks whose turn has not come in the last round pass the
    round's first batch without counting it, since a sharded model's ranks must all take part.
    """
    world, rank = accelerator.num_processes, accelerator.process_index
    spare, given = None, True
    for number, batch in enumerate(batches):
        if number % world == 0:
            spare, given = batch, False
        if number % world == rank:
            given = True
            yield batch, True
    if together and not given and spare is not None:
        yield spare, False
