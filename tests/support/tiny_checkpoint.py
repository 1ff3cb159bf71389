"""Tiny random checkpoints and finished run directories, for tests that need a model on disk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from eval.lm.load import load_checkpoint
from eval.lm.tokenization import Vocabulary
from train.config.flops import count_params, flops_per_token
from train.config.resolve import DataInfo, resolve
from train.config.run_config import RunConfig
from train.config.spec import (
    DataSpec,
    HorizonSpec,
    ModelSpec,
    OptimSpec,
    RunSpec,
    SourceSpec,
    TokenizerSpec,
)
from train.data.tokenizer import build_codec, save_tokenizer
from train.rundir.atomic import append_jsonl
from train.rundir.record import RunPaths, RunRecord, write_job, write_record

DIGITS = "0123456789+=\n"


def save_checkpoint(
    directory: Path,
    alphabet: str = DIGITS,
    context: int = 64,
    seed: int = 0,
    std: float = 0.5,
    tokenizer: TokenizerSpec | None = None,
) -> Path:
    """A two-layer Llama with large random weights, so that its outputs differ from item to item."""
    spec = tokenizer or TokenizerSpec(kind="characters", alphabet=alphabet)
    codec = build_codec(spec, lambda: iter(["one 12+34=46 two\n"] * 50))
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=codec.vocab_size,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=context,
        initializer_range=std,
        bos_token_id=None,
        eos_token_id=codec.end_id,
        pad_token_id=codec.end_id,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    save_tokenizer(codec, directory, context)
    return directory


def tiny_model(directory: Path, **options: Any) -> tuple[Any, Vocabulary]:
    return load_checkpoint(str(save_checkpoint(directory, **options)), "cpu")


def save_run(
    run_dir: Path,
    options: dict[str, Any] | None = None,
    kind: str = "arithmetic",
    seed: int = 0,
    status: str = "finished",
    steps: tuple[int, ...] = (),
    alphabet: str = DIGITS,
    val_tokens: float = 131072,
) -> RunRecord:
    """A finished run of the tiny checkpoint as `train` leaves one, without training it."""
    part = SourceSpec(kind=kind, options=options or {})
    spec = RunSpec(
        data=DataSpec(
            {"part": part}, TokenizerSpec(kind="characters", alphabet=alphabet), val_tokens
        ),
        horizon=HorizonSpec(n_tokens=64000),
        model=ModelSpec(d_model=16, n_layers=2, n_heads=2, d_ff=32, seq_len=64),
        optim=OptimSpec(lr_peak=1e-3, batch_tokens=640),
        seed=seed,
    )
    spec = resolve(spec, DataInfo("f" * 16, 14, {"part": None}))
    job = RunConfig(spec, name=run_dir.name, sweep="test")
    write_job(run_dir, job)
    paths = RunPaths(run_dir)
    save_checkpoint(paths.checkpoint, alphabet, seed=seed)
    for step in steps:
        save_checkpoint(paths.checkpoint_at(step), seed=100 + step)
        append_jsonl(paths.metrics, {"step": step, "n_tokens": step * 640, "loss": 2.0 + step})
    record = _record(job, status)
    write_record(run_dir, record)
    return record


def _record(job: RunConfig, status: str) -> RunRecord:
    spec, counts = job.spec, count_params(job.spec.model)
    model = spec.model
    return RunRecord(
        run_id=job.run_id,
        name=job.name,
        sweep=job.sweep,
        grid=job.grid,
        status=status,
        data="part",
        data_fingerprint="f" * 16,
        seed=spec.seed,
        family=model.family,
        d_model=model.d_model,
        n_layers=2,
        n_heads=2,
        d_ff=32,
        vocab_size=14,
        seq_len=model.seq_len,
        n_params=counts.n_params,
        n_params_total=counts.n_params_total,
        n_params_non_embedding=counts.n_params_non_embedding,
        n_tokens=64000,
        tokens_per_param=64000 / counts.n_params,
        n_steps=100,
        batch_tokens=640,
        lr_peak=1e-3,
        flops=64000.0 * flops_per_token(model),
        flops_6nd=0.0,
        flops_chinchilla=0.0,
        flops_budget=None,
        flops_spent=0.0,
        loss=1.5,
        bits_per_byte=None,
        train_loss=1.5,
    )


def with_status(record: RunRecord, status: str) -> RunRecord:
    return replace(record, status=status)
