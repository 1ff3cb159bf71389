"""What CUDA alone can show; not yet run on a GPU."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from train.config.run_config import RunConfig
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec
from train.model.build import SummedLoss, build_model
from train.run import train_run
from train.rundir.record import read_record, write_job

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_loss_on_the_gpu_is_the_loss_on_the_cpu(family: str):
    shape = complete_shape(ModelSpec(family=family, d_model=64, vocab_size=61, seq_len=64))
    model = SummedLoss(build_model(shape, seed=0))
    tokens = torch.randint(0, 61, (4, 64))
    expected = model(tokens, tokens).item()
    on_gpu = model.cuda()(tokens.cuda(), tokens.cuda()).item()
    assert on_gpu == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("compiled", ["off", "on"])
def test_a_run_on_the_gpu_learns_as_on_the_cpu(
    tmp_path: Path, tiny_job: RunConfig, precision: str, compiled: str
):
    records = {}
    for device in ("cpu", "cuda"):
        on_gpu = device == "cuda"
        spec = replace(tiny_job.spec, precision=precision if on_gpu else "fp32")
        runtime = replace(tiny_job.runtime, device=device, compile=compiled if on_gpu else "off")
        write_job(tmp_path / device, replace(tiny_job, spec=spec, runtime=runtime))
        assert train_run(tmp_path / device) == "finished"
        records[device] = read_record(tmp_path / device)
    assert records["cpu"].device == "cpu"
    assert records["cuda"].device == torch.cuda.get_device_name()
    tolerance = {"fp32": 1e-4, "bf16": 5e-3}[precision]
    assert records["cuda"].loss == pytest.approx(records["cpu"].loss, rel=tolerance)
