"""What a line says beside the loss: spikes by their definition, norms, and speed."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sweeps.directory.run_state import read_state
from tests.support.runs import interrupted
from train.config.run_config import RunConfig
from train.engine import loop, step_log
from train.engine.step_log import LEAST_STEPS, SPIKE_STEPS, count_spikes
from train.run import train_run
from train.rundir.atomic import read_jsonl
from train.rundir.record import RunPaths, read_record, write_job


def noise(n: int) -> list[float]:
    return (3.0 + 0.1 * np.random.default_rng(0).standard_normal(n)).tolist()


def test_a_spike_lies_seven_deviations_above_the_thousand_losses_before_it():
    before = noise(1200)
    kept = np.array(before[-SPIKE_STEPS:])
    limit = kept.mean() + 7 * kept.std()
    assert count_spikes(before, [limit - 1e-6])[0] == 0
    assert count_spikes(before, [limit + 1e-6])[0] == 1
    assert count_spikes(before, [0.0])[0] == 0  # a fall is none
    assert count_spikes(noise(LEAST_STEPS - 1), [9.0])[0] == 0  # too few to say
    assert count_spikes(noise(LEAST_STEPS), [9.0])[0] == 1
    assert count_spikes(before, noise(400))[0] == 0


def test_counting_in_pieces_finds_the_same_spikes():
    losses = noise(2500)
    for step in (50, 150, 151, 1700, 2400):
        losses[step] = 9.0
    whole, recent = count_spikes([], losses)
    n_spikes, kept = 0, []
    for start in range(0, len(losses), 70):
        found, kept = count_spikes(kept, losses[start : start + 70])
        n_spikes += found
    assert (n_spikes, kept) == (whole, recent)
    assert whole == 4  # that of step 50 came too early
    assert recent == losses[-SPIKE_STEPS:]


def test_a_line_has_the_norms_and_the_speed(finished: Path, tiny_job: RunConfig):
    last = read_jsonl(RunPaths(finished).metrics)[-1]
    weights = load_file(RunPaths(finished).checkpoint / "model.safetensors").values()
    norm = math.sqrt(sum(float(one.double().square().sum()) for one in weights))
    assert last["optim/weight_norm"] == pytest.approx(norm, rel=1e-5)
    assert last["optim/grad_norm"] > 0
    assert last["train/loss_spikes"] == read_record(finished).loss_spikes == 0
    assert last["throughput/tokens_per_second"] > 0
    assert last["throughput/peak_memory_bytes"] > 1e6
    assert "throughput/mfu" not in last  # nobody knows this machine's peak


def test_the_gradients_norm_is_the_one_before_clipping(
    tmp_path: Path, tiny_job: RunConfig, monkeypatch
):
    norms = []
    real = torch.nn.utils.clip_grad_norm_

    def clip(parameters, most):
        norms.append(math.sqrt(sum(float(p.grad.double().square().sum()) for p in parameters)))
        return real(parameters, most)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    monkeypatch.setattr(step_log, "peak_flops", lambda device, spec: 1e12)
    write_job(tmp_path / "run", tiny_job)
    assert train_run(tmp_path / "run") == "finished"
    rows = read_jsonl(RunPaths(tmp_path / "run").metrics)
    logged = [row["optim/grad_norm"] for row in rows]
    assert logged == pytest.approx([norms[row["step"] - 1] for row in rows], rel=1e-4)
    flops = rows[-1]["flops"] / rows[-1]["n_tokens"]
    assert [row["throughput/mfu"] for row in rows] == pytest.approx(
        [row["throughput/tokens_per_second"] * flops / 1e12 for row in rows]
    )


def test_spikes_of_a_resumed_run_are_in_its_record_and_status(
    tmp_path: Path, longer_job: RunConfig, monkeypatch
):
    real, step = loop.optimizer_step, [0]

    def spiky(*given):
        loss, norm = real(*given)
        step[0] += 1
        return (loss * 9 if step[0] in (180, 250) else loss), norm

    monkeypatch.setattr(loop, "optimizer_step", spiky)
    write_job(tmp_path / "run", longer_job)
    interrupted(tmp_path / "run", monkeypatch, 203)
    assert read_state(tmp_path / "run").loss_spikes == 1
    assert train_run(tmp_path / "run") == "finished"
    assert read_record(tmp_path / "run").loss_spikes == 2
    assert asdict(read_state(tmp_path / "run"))["loss_spikes"] == 2
