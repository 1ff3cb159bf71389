"""One optimiser step over a batch in micro-batches, without a wait for the device."""

from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from train.config.run_config import RuntimeSpec
from train.config.spec import RunSpec
from train.data.prefetch import RankBatch


def optimizer_step(
    batch: RankBatch,
    spec: RunSpec,
    runtime: RuntimeSpec,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
) -> tuple[Tensor, Tensor]:
    """One optimiser step on this rank's share of the batch.

    Returns: its share of the mean loss, and the norm of the whole gradient before it was clipped.
    """
    n_rows = len(batch.tokens)
    rows = runtime.micro_batch or n_rows
    loss = torch.zeros((), device=accelerator.device)
    for start in range(0, n_rows, rows):
        last = start + rows >= n_rows
        tokens, labels = batch.part(start, rows, accelerator.device)
        with nullcontext() if last else accelerator.no_sync(model):
            with accelerator.autocast():
                nll = model(tokens, labels, masked=batch.masked)
            share = nll / batch.n_labelled
            (share * accelerator.num_processes).backward()
        loss += share.detach()
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, spec.optim.grad_clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss, norm


def trial_pass(
    batch: RankBatch, runtime: RuntimeSpec, model: nn.Module, accelerator: Accelerator
) -> None:
    """The passes of a step's first part, whose gradients stay on this rank and are not used."""
    rows = runtime.micro_batch or len(batch.tokens)
    tokens, labels = batch.part(0, rows, accelerator.device)
    with accelerator.no_sync(model):
        with accelerator.autocast():
            nll = model(tokens, labels, masked=batch.masked)
        nll.backward()
