"""Every optimiser and family trains, resumes to the same bits, and loads as the recorded model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from tests.support.runs import metrics, weights
from train import run as run_module
from train.config.resolve import resolve
from train.config.run_config import RunConfig
from train.config.spec import OptimSpec
from train.data.dataset import Dataset, describe
from train.engine.device import make_accelerator
from train.engine.loop import evaluate
from train.model.build import SummedLoss
from train.run import train_run
from train.rundir.record import RunPaths, read_record, write_job

TINY = {"d_model": 16, "seq_len": 32}
VARIANTS: dict[str, dict[str, Any]] = {
    "muon": {"optim": OptimSpec(optimizer="muon", batch_tokens=128)},
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
    losses = evaluate(job.spec, Dataset.open(job.spec), SummedLoss(model), accelerator)
    assert losses["text"] == pytest.approx(record.loss, rel=1e-5)


def test_other_choices_are_other_runs(tiny_job: RunConfig):
    ids = {name: varied(tiny_job, **changes).run_id for name, changes in VARIANTS.items()}
    assert len({*ids.values(), varied(tiny_job).run_id}) == len(ids) + 1
