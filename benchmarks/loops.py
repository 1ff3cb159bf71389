"""The training loops that are compared, each in a process that `benchmarks.train_step` forks.

harness: `train.run` on a run directory. bare: the same module and optimiser, batches made before.
transformers: the same loop around the Hugging Face model's own forward pass. trainer: Hugging Face
Trainer on that model. litgpt: see litgpt_loop.py, which needs nothing of this project. A request
has d_model, seq_len, rows, vocab, layers, heads, d_ff, precision, compile, kernels, every,
scratch.
"""

import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from train.config.resolve import resolve
from train.config.run_config import RunConfig, RuntimeSpec
from train.config.spec import DataSpec, HorizonSpec, ModelSpec, OptimSpec, RunSpec, SourceSpec
from train.data.dataset import Dataset, describe
from train.model.build import SummedLoss, build_model
from train.run import train_run
from train.rundir.record import write_job
from train.speed.choice import best_choice

ENDLESS = 10**6
"""Steps of a run that is ended from outside."""


def shape(request: dict[str, Any]) -> ModelSpec:
    return ModelSpec(
        d_model=request["d_model"],
        n_layers=request["layers"],
        n_heads=request["heads"],
        d_ff=request["d_ff"],
        vocab_size=request["vocab"],
        seq_len=request["seq_len"],
        init_std=0.02,
    )


def run_spec(request: dict[str, Any]) -> RunSpec:
    """The run that the harness trains."""
    model = shape(request)
    data = DataSpec(parts={"stdlib": SourceSpec("stdlib")}, max_epochs=1e9)
    batch_tokens = request["rows"] * request["seq_len"]
    spec = RunSpec(
        data=data,
        horizon=HorizonSpec(n_tokens=float(ENDLESS * batch_tokens)),
        model=model,
        optim=OptimSpec(batch_tokens=batch_tokens, lr_peak=1e-3),
        precision=request["precision"],
    )
    return resolve(spec, describe(data, model.seq_len))


def harness(request: dict[str, Any]) -> None:
    """A run as any other: claimed, logged, saved every minute."""
    how = {"compile": request["compile"], "kernels": request["kernels"]}
    runtime = RuntimeSpec(device="cpu", n_evals=1, **how)
    run_dir = Path(request["scratch"]) / "run"
    write_job(run_dir, RunConfig(run_spec(request), runtime))
    status = train_run(run_dir)
    sys.exit(f"the run ended with status {status}")


class _Theirs(torch.nn.Module):
    """transformers' forward pass and the loss of its logits, as anybody would write it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = self.model(input_ids=tokens, use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="sum")


def transformers(request: dict[str, Any]) -> None:
    """A loop around the Hugging Face model, without anything of this project in it."""
    _loop(_Theirs(build_model(shape(request), seed=0)), request)


def bare(request: dict[str, Any]) -> None:
    """The least that trains the same module: forward, backward, clip, step, forget gradients."""
    job = RunConfig(run_spec(request), RuntimeSpec(device="cpu", kernels=request["kernels"]))
    kernels = best_choice(job, "cpu").kernels
    _loop(SummedLoss(build_model(shape(request), seed=0), kernels), request)


def _loop(module: Any, request: dict[str, Any]) -> None:
    dataset = Dataset.open(run_spec(request))
    batches = [tuple(torch.from_numpy(rows.copy()) for rows in dataset.batch(n)) for n in range(64)]
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, betas=(0.9, 0.99), fused=True)
    parameters = list(module.parameters())
    if request["compile"] == "on":
        module = torch.compile(module)
    low = request["precision"] == "bf16"
    for step in range(ENDLESS):
        tokens, labels = batches[step % 64]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            loss = module(tokens, labels) / labels.numel()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def trainer(request: dict[str, Any]) -> None:
    """Hugging Face Trainer, its own optimiser, schedule, clipping, data loader and logging."""
    from transformers import Trainer, TrainingArguments

    rows = torch.randint(0, 257, (4096, request["seq_len"]))
    arguments = TrainingArguments(
        output_dir=request["scratch"],
        per_device_train_batch_size=request["rows"],
        max_steps=ENDLESS,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        logging_steps=10,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        bf16=request["precision"] == "bf16",
    )
    dataset: Any = [{"input_ids": row, "labels": row} for row in rows]
    Trainer(build_model(shape(request), seed=0), arguments, train_dataset=dataset).train()


LOOPS = {"harness": harness, "bare": bare, "transformers": transformers, "trainer": trainer}
