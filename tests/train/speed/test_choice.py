"""What a run takes of its machine's measurements, and keeps when it is resumed."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.support.speed_tables import FAST_MKL, SLOW_MKL
from train import run as run_module
from train.config.kernels import EARLIER, LIBRARY, Kernels
from train.config.run_config import RunConfig
from train.run import train_run
from train.rundir.atomic import write_json
from train.rundir.record import RunPaths, read_record, write_job
from train.speed import choice as choice_module
from train.speed.choice import Choice, best_choice, compiles, measure_for, run_choice
from train.speed.machine import table_path
from train.speed.table import SpeedTable


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Sets what this machine was measured to do; measuring again fails the test."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("ISOFLOP_SPEED", "measured")
    monkeypatch.setattr("train.speed.machine.cache_dir", lambda: cache)
    monkeypatch.setattr("train.speed.machine._measure", lambda *_: pytest.fail("it measures"))
    return lambda table: write_json(table_path(1), asdict(table))


@pytest.fixture
def capable(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine passes for one with oneDNN's products and a compiler."""
    monkeypatch.setattr("train.model.linear.ONEDNN", True)
    monkeypatch.setattr(choice_module, "has_compiler", lambda: True)


def long_job(job: RunConfig, n_tokens: float, **changes) -> RunConfig:
    horizon = replace(job.spec.horizon, n_tokens=n_tokens)
    return replace(job, spec=replace(job.spec, horizon=horizon, **changes))


def test_a_run_records_what_computed_it(tmp_path, tiny_job, measured):
    steps = tuple(replace(s, kernels=s.library / 2) for s in SLOW_MKL.steps)
    products = tuple(replace(p, onednn=p.library / 2) for p in SLOW_MKL.products)
    measured(replace(SLOW_MKL, steps=steps, products=products))
    write_job(tmp_path / "run", tiny_job)
    assert train_run(tmp_path / "run") == "finished"
    kept = json.loads(RunPaths(tmp_path / "run").choice.read_text())
    assert kept["kernels"] == vars(Kernels(2**19, 2**23, None))  # its context is 32
    assert kept["source"] == "measured"
    record = read_record(tmp_path / "run")
    assert record is not None
    assert record.kernels.startswith("oneDNN from 5.2e+05")


def test_a_resumed_run_keeps_the_choice_it_began_with(tmp_path, tiny_job, measured, capable):
    asked = replace(tiny_job, runtime=replace(tiny_job.runtime, kernels="onednn_blocks"))
    first = run_choice(made(tmp_path, asked), asked, "cpu")
    assert first == Choice(EARLIER, False, "asked", first.processor)
    measured(FAST_MKL)
    assert run_choice(tmp_path / "run", tiny_job, "cpu") == first
    assert best_choice(tiny_job, "cpu").kernels == LIBRARY


def made(tmp_path: Path, job: RunConfig) -> Path:
    write_job(tmp_path / "run", job)
    return tmp_path / "run"


def test_a_state_of_an_earlier_release_goes_on_as_it_was_computed(
    tmp_path, tiny_job, measured, capable
):
    measured(FAST_MKL)
    run_dir = made(tmp_path, tiny_job)
    (RunPaths(run_dir).state / "step-10").mkdir(parents=True)
    assert run_choice(run_dir, tiny_job, "cpu").kernels == EARLIER
    shutil.rmtree(RunPaths(run_dir).state)
    assert run_choice(run_dir, tiny_job, "cpu").kernels == EARLIER  # kept once it is written


def test_what_a_machine_lacks_is_replaced_and_reported(
    tmp_path, tiny_job, capable, monkeypatch, caplog
):
    run_dir = made(tmp_path, tiny_job)
    write_json(RunPaths(run_dir).choice, asdict(Choice(EARLIER, True, "measured")))
    assert run_choice(run_dir, tiny_job, "cpu").compiled
    assert not caplog.messages
    monkeypatch.setattr("train.model.linear.ONEDNN", False)
    monkeypatch.setattr("train.speed.choice.has_compiler", lambda: False)
    possible = run_choice(run_dir, tiny_job, "cpu")
    assert (possible.kernels, possible.compiled) == (Kernels(blocks_from=256), False)
    assert "began with oneDNN from 3e+06" in caplog.text
    assert "goes on with attention in blocks from 256" in caplog.text


def test_a_short_run_starts_no_measurement_and_a_long_one_does(tiny_job, monkeypatch):
    asked = []
    monkeypatch.setattr("train.speed.choice.measured_table", asked.append)
    assert best_choice(tiny_job, "cpu") == Choice(processor=best_choice(tiny_job, "cpu").processor)
    assert not asked
    best_choice(long_job(tiny_job, 1e8), "cpu")
    assert asked == [1]
    measure_for([tiny_job, tiny_job])
    assert asked == [1]
    measure_for([tiny_job, long_job(tiny_job, 1e8)])
    assert asked == [1, 1]


def test_compiling_is_tried_for_runs_that_could_repay_it_alone(tiny_job, measured, monkeypatch):
    tried = []
    monkeypatch.setattr(choice_module, "has_compiler", lambda: True)
    monkeypatch.setattr(choice_module, "with_compiled", lambda *shape: tried.append(shape))
    measured(SpeedTable(steps=FAST_MKL.steps))
    assert not best_choice(long_job(tiny_job, 1e6), "cpu").compiled
    assert not tried
    long = long_job(tiny_job, 1e10)
    assert not best_choice(long, "cpu", measure=False).compiled
    assert not tried
    best_choice(long, "cpu")
    assert tried == [(1, 16, "fp32")]
    fast = replace(FAST_MKL.compiled[0], d_model=32)
    measured(replace(FAST_MKL, compiled=(fast,)))
    assert best_choice(long, "cpu").compiled
    assert not best_choice(long_job(tiny_job, 1e6), "cpu").compiled
    monkeypatch.setattr(choice_module, "has_compiler", lambda: False)
    assert not best_choice(long, "cpu").compiled


def test_what_is_asked_for_is_not_measured(tiny_job, measured):
    measured(FAST_MKL)
    for name, kernels in (("onednn", Kernels(*vars(EARLIER).values())), ("library", LIBRARY)):
        runtime = replace(tiny_job.runtime, kernels=name, compile="off")
        chosen = best_choice(replace(long_job(tiny_job, 1e10), runtime=runtime), "cpu")
        assert chosen.kernels == (replace(kernels, blocks_from=None))
        assert (chosen.compiled, chosen.source) == (False, "asked")


def test_a_gpu_takes_no_kernels_of_a_cpu(tiny_job):
    assert not compiles(tiny_job.runtime, "cuda", 9e15)
    assert compiles(tiny_job.runtime, "cuda", 1e16)
    assert not compiles(tiny_job.runtime, "cpu", 1e20)
    assert best_choice(tiny_job, "cuda").kernels == LIBRARY


def test_a_run_resumed_after_another_measurement_ends_with_the_same_bits(
    tmp_path, tiny_job, measured, monkeypatch
):
    """Between its two lives the machine is measured again; a new run then begins otherwise."""
    steps = tuple(replace(s, kernels=s.library / 2) for s in SLOW_MKL.steps)
    products = tuple(
        replace(p, multiplications=p.multiplications >> 10, onednn=p.library / 2)
        for p in SLOW_MKL.products
    )
    # Products alone may round alike by both ways, as on one maker's; attention in blocks does not.
    attention = tuple(replace(a, blocks=a.library / 2) for a in SLOW_MKL.attention)
    measured(replace(SLOW_MKL, steps=steps, products=products, attention=attention))
    write_job(tmp_path / "whole", tiny_job)
    assert train_run(tmp_path / "whole") == "finished"
    write_job(tmp_path / "halves", tiny_job)
    real = run_module.train

    def stopping(spec, runtime, dataset, model, optimizer, accelerator, hooks, outcome):
        hooks = replace(hooks, stopping=lambda: outcome.step == 20)
        return real(spec, runtime, dataset, model, optimizer, accelerator, hooks, outcome)

    monkeypatch.setattr(run_module, "train", stopping)
    assert train_run(tmp_path / "halves") == "preempted"
    monkeypatch.setattr(run_module, "train", real)
    measured(FAST_MKL)
    assert train_run(tmp_path / "halves") == "finished"
    write_job(tmp_path / "other", tiny_job)
    assert train_run(tmp_path / "other") == "finished"
    weights = {
        name: (tmp_path / name / "checkpoint" / "model.safetensors").read_bytes()
        for name in ("whole", "halves", "other")
    }
    assert weights["whole"] == weights["halves"]
    assert weights["whole"] != weights["other"]
    other = read_record(tmp_path / "other")
    assert other is not None
    assert other.kernels == "library"
