"""Every optimiser and family trains, resumes to the same bits, and loads as the recorded model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.support.runs import metrics, weights
from train import run as run_module
from train.config.flops import flops_per_token
from train.config.resolve import resolve
from train.config.run_config import RunConfig
from train.config.spec import ModelSpec, OptimSpec, SpecError
from train.data.dataset import Dataset, describe
from train.engine.device import make_accelerator
from train.engine.loop import evaluate
from train.model.build import SummedLoss, build_model
from train.model.forward import computes, hidden_states
from train.run import train_run
from train.rundir.record import RunPaths, read_record, write_job
from train.rundir.record_fields import job_columns

TINY = {"d_model": 16, "seq_len": 32}
VARIANTS: dict[str, dict[str, Any]] = {
    "muon": {"optim": OptimSpec(optimizer="muon", batch_tokens=128)},
    "muon_gpt2": {
        "optim": OptimSpec(optimizer="muon", muon_scale="original", batch_tokens=128),
        "model": ModelSpec("gpt2", **TINY),
    },
    "z_loss_and_average": {"optim": OptimSpec(z_loss=1e-3, ema_fraction=0.5, batch_tokens=128)},
    "qwen3": {"model": ModelSpec("llama", n_kv_heads=1, qk_norm=True, rope_theta=1e6, **TINY)},
    "olmo2": {"model": ModelSpec("olmo2", n_kv_heads=1, **TINY)},
    "gemma2": {"model": ModelSpec("gemma2", logit_softcap=5.0, n_kv_heads=1, tied=True, **TINY)},
    "mixtral": {"model": ModelSpec("mixtral", n_experts=4, experts_per_token=2, **TINY)},
    "hf": {
        "model": ModelSpec(
            "hf",
            seq_len=32,
            hf_class="GPTNeoXForCausalLM",
            hf_config={
                "hidden_size": 24,
                "num_hidden_layers": 2,
                "num_attention_heads": 3,
                "intermediate_size": 48,
            },
        )
    },
}


@contextmanager
def stop_after(steps: int) -> Iterator[Callable[[], bool]]:
    """Stop requests that come after so many steps."""
    asked = iter(range(1000))
    yield lambda: next(asked) >= steps


def varied(job: RunConfig, **changes: Any) -> RunConfig:
    """The job with other parts of its spec, resolved again."""
    model = replace(job.spec.model, **TINY)
    asked = replace(
        job.spec,
        **{"model": model, "n_steps": None, "optim": OptimSpec(batch_tokens=128)} | changes,
    )
    return replace(job, spec=resolve(asked, describe(asked.data, asked.model.seq_len)))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_trains_resumes_to_the_same_bits_and_loads(
    name: str, tmp_path: Path, tiny_job: RunConfig, monkeypatch
):
    job = varied(tiny_job, **VARIANTS[name])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    write_job(whole, job)
    assert train_run(whole) == "finished", RunPaths(whole).error.read_text()
    write_job(parts, job)
    for steps in (7, 16):
        monkeypatch.setattr(run_module, "stop_requests", lambda steps=steps: stop_after(steps))
        assert train_run(parts) == "preempted"
    monkeypatch.undo()
    assert train_run(parts) == "finished"
    assert weights(parts) == weights(whole)
    assert metrics(parts) == metrics(whole)
    record = read_record(whole)
    assert record.loss < 5.5
    model = AutoModelForCausalLM.from_pretrained(RunPaths(whole).checkpoint)
    assert sum(p.numel() for p in model.parameters()) == record.n_params_total
    accelerator = make_accelerator(replace(job.runtime, device="cpu"), "fp32")
    dataset = Dataset.open(job.spec)
    losses = evaluate(job.spec, dataset, SummedLoss(model), accelerator)
    assert losses["text"] == pytest.approx(record.loss, rel=1e-5)
    if job.spec.optim.ema_fraction is not None:
        assert weights_of(RunPaths(parts).averaged) == weights_of(RunPaths(whole).averaged)
        averaged = AutoModelForCausalLM.from_pretrained(RunPaths(whole).averaged)
        losses = evaluate(job.spec, dataset, SummedLoss(averaged), accelerator)
        assert losses["text"] == pytest.approx(record.loss_ema, rel=1e-5) != record.loss


def weights_of(checkpoint: Path) -> bytes:
    return (checkpoint / "model.safetensors").read_bytes()


def test_other_choices_are_other_runs(tiny_job: RunConfig):
    ids = {name: varied(tiny_job, **changes).run_id for name, changes in VARIANTS.items()}
    assert len({*ids.values(), varied(tiny_job).run_id}) == len(ids) + 1


def test_a_count_that_is_not_the_modules_is_refused_at_the_start(tmp_path, tiny_job, monkeypatch):
    from train.config import flops

    job = varied(tiny_job)
    right = flops.count_params(job.spec.model)
    monkeypatch.setattr(
        "train.model.built.count_params",
        lambda model: replace(right, attention=right.attention + 1),
    )
    write_job(tmp_path / "run", job)
    assert train_run(tmp_path / "run") == "failed"
    assert "has n_params=" in RunPaths(tmp_path / "run").error.read_text()


@pytest.mark.parametrize("name", [n for n in VARIANTS if "model" in VARIANTS[n]])
def test_flops_are_those_that_torch_counts(name: str, tiny_job: RunConfig):
    """Matrix products of a forward pass, three times, with the whole square of the scores."""
    from torch.utils.flop_counter import FlopCounterMode

    spec = varied(tiny_job, **VARIANTS[name]).spec.model
    model = build_model(spec, seed=0)
    model.set_attn_implementation("eager")  # whose products are all seen
    model.set_experts_implementation("eager")
    tokens = torch.randint(0, spec.vocab_size, (2, spec.seq_len))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=tokens, use_cache=False)
    assert 3 * counter.get_total_flops() / tokens.numel() == pytest.approx(
        flops_per_token(spec), rel=0.02
    )


def test_the_fast_forward_is_the_models_own(tiny_job: RunConfig):
    for name in ("qwen3", "olmo2"):
        spec = varied(tiny_job, **VARIANTS[name]).spec.model
        model = build_model(spec, seed=0)
        tokens = torch.randint(0, spec.vocab_size, (2, spec.seq_len))
        assert computes(model, tokens.device)
        own = model.base_model(input_ids=tokens).last_hidden_state.flatten(0, 1)
        assert torch.allclose(hidden_states(model, tokens), own, atol=1e-5)


def test_of_a_mixture_both_counts_are_recorded_and_flops_are_of_the_active_ones(tiny_job):
    job = varied(tiny_job, **VARIANTS["mixtral"])
    columns = job_columns(job, 10)
    one = 3 * job.spec.model.d_model * job.spec.model.d_ff
    assert columns["n_params"] - columns["n_params_active"] == 2 * 2 * one  # 2 idle of 4, 2 layers
    assert columns["flops"] < columns["n_tokens"] * 6 * columns["n_params"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"family": "hf"}, "needs model.hf_class"),
        ({"family": "gpt2", "rope_theta": 1e4}, "model.rope_theta is not for family=gpt2"),
        ({"family": "llama", "logit_softcap": 30.0}, "use family=gemma2"),
        ({"family": "mixtral", "n_experts": 2, "experts_per_token": 3}, "is more than"),
    ],
)
def test_fields_of_other_families_are_refused(values, words):
    with pytest.raises(SpecError, match=words):
        ModelSpec(**values)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hf_class": "GPTNeoX"}, "is no decoder of transformers"),
        ({"hf_config": {"hiden_size": 8}}, "is no key of GPTNeoXConfig; did you mean hidden_size"),
    ],
)
def test_a_class_or_key_that_transformers_has_not_is_refused(changes, words, tiny_job):
    with pytest.raises(SpecError, match=words):
        varied(tiny_job, model=replace(VARIANTS["hf"]["model"], **changes))
