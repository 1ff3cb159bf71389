import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.support.runs import free_port, wsd
from train.config.run_config import RunConfig
from train.config.spec import OptimSpec
from train.model.fsdp import cut_like, is_sharded, moments, parameters, whole
from train.run import train_run
from train.rundir.record import RunPaths, last_status, read_record, write_job

SCRIPT = Path(__file__).parents[2] / "support" / "sharded_run.py"


def test_without_shards_whole_is_a_copy_on_the_cpu_and_cutting_changes_nothing():
    linear = torch.nn.Linear(3, 2)
    assert not is_sharded(linear)
    assert torch.equal(parameters(linear)["weight"], linear.weight)
    assert torch.equal(cut_like(torch.ones(2, 3), linear.weight), torch.ones(2, 3))
    assert not whole(linear.weight).requires_grad


def test_moments_are_named_after_their_parameter():
    linear = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(linear.parameters())
    assert moments(linear, optimizer) == {}
    linear(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert set(moments(linear, optimizer)) == {
        f"{name}.{key}"
        for name in ("weight", "bias")
        for key in ("step", "exp_avg", "exp_avg_sq")
    }  # fmt: skip


def two_ranks(run_dir: Path, stop_after: int = 0) -> None:
    port = str(free_port())
    ranks = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(run_dir), str(stop_after)],
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": os.getcwd()}
            | {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
            | {"FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"},
        )
        for rank in range(2)
    ]
    assert [rank.wait(timeout=200) for rank in ranks] == [0, 0], last_status(run_dir)


@pytest.mark.slow
def test_a_sharded_run_in_bfloat16_keeps_its_loss_and_gradients_in_float32(
    tmp_path: Path, tiny_job: RunConfig
):
    """Rounded to bfloat16 a loss has 8 bits: every number of the curve would be one of those."""
    job = replace(tiny_job, spec=replace(tiny_job.spec, precision="bf16"))
    write_job(tmp_path / "one", job)
    assert train_run(tmp_path / "one") == "finished"
    write_job(tmp_path / "two", job)
    two_ranks(tmp_path / "two")
    rows = [
        json.loads(line) for line in RunPaths(tmp_path / "two").metrics.read_text().splitlines()
    ]
    losses = [row["loss"] * 4096 for row in rows if "loss" in row]
    assert len(losses) == 4
    assert any(loss != float(torch.tensor(loss).bfloat16()) for loss in losses)
    one, two = read_record(tmp_path / "one"), read_record(tmp_path / "two")
    assert two.loss == pytest.approx(one.loss, rel=5e-3)
    assert two.n_devices == 2


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_sharded_run_saves_resumes_and_ends_as_on_one_process(
    optimizer: str, tmp_path: Path, tiny_job: RunConfig
):
    """Stopped between two steps, on two ranks that hold half of every parameter each."""
    job = replace(
        tiny_job,
        spec=replace(tiny_job.spec, optim=OptimSpec(optimizer=optimizer, batch_tokens=128)),
    )
    job = replace(wsd(job, 40), runtime=replace(tiny_job.runtime, branch=True, log_every=5))
    write_job(tmp_path / "one/runs/run", job)
    assert train_run(tmp_path / "one/runs/run") == "finished"
    run_dir = tmp_path / "two/runs/run"
    write_job(run_dir, job)
    two_ranks(run_dir, stop_after=15)
    assert last_status(run_dir)["status"] == "preempted"
    assert [path.name for path in RunPaths(run_dir).state.glob("step-*")] == ["step-000000015"]
    two_ranks(run_dir)
    one, two = read_record(tmp_path / "one/runs/run"), read_record(run_dir)
    # Muon's sums in bfloat16 are rounded in another order.
    assert two.loss == pytest.approx(one.loss, rel=1e-5 if optimizer == "adamw" else 2e-3)
    model = AutoModelForCausalLM.from_pretrained(RunPaths(run_dir).checkpoint)
    assert sum(p.numel() for p in model.parameters()) == two.n_params_total
    assert list((tmp_path / "two/trunks").glob("*/step-000000032"))


def test_flattened_shards_are_refused_with_the_way_out(monkeypatch):
    from accelerate import Accelerator
    from accelerate.utils import DistributedType

    from train.config.run_config import RuntimeSpec
    from train.engine.device import DeviceError, make_accelerator

    monkeypatch.setattr(Accelerator, "distributed_type", DistributedType.FSDP)
    monkeypatch.setattr(Accelerator, "is_fsdp2", False)
    with pytest.raises(DeviceError, match="--fsdp_version 2"):
        make_accelerator(RuntimeSpec(device="cpu"), "fp32")
