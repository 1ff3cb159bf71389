"""What a run asks of its device, and what a later run of the process finds."""

import gc
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from train import run as run_module
from train.config.run_config import RunConfig, RuntimeSpec
from train.engine.device import make_accelerator
from train.engine.garbage import collector_frozen
from train.rundir.record import RunPaths, write_job


def test_deterministic_kernels_are_chosen_for_the_run_that_asks_and_for_no_other(
    tmp_path: Path, tiny_job: RunConfig, monkeypatch
):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    real, seen = run_module.train, []

    def watched(*arguments):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return real(*arguments)

    monkeypatch.setattr(run_module, "train", watched)
    for name, asked in (("a", True), ("b", False)):
        runtime = replace(tiny_job.runtime, deterministic=asked)
        write_job(tmp_path / name, replace(tiny_job, runtime=runtime))
        assert run_module.train_run(tmp_path / name) == "finished"
        said = json.loads(RunPaths(tmp_path / name).env.read_text())
        assert said["deterministic"] is asked
    assert seen == [True, False]
    # Without it cuBLAS gives other bits from one stream to another, and torch refuses.
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_tf32_is_for_the_run_that_allows_it_and_ddp_sends_no_buffers():
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        for allowed, precision in ((True, "tf32"), (False, "ieee")):
            accelerator = make_accelerator(RuntimeSpec(device="cpu", tf32=allowed), "fp32")
            assert matmul.fp32_precision == precision
            assert run_module.environment(accelerator)["tf32"] is allowed
        assert accelerator.ddp_handler is not None
        assert accelerator.ddp_handler.broadcast_buffers is False
    finally:
        matmul.fp32_precision = before


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ({}, "expandable_segments:True"),
        ({"PYTORCH_ALLOC_CONF": "mine"}, "mine"),
        ({"PYTORCH_CUDA_ALLOC_CONF": "mine"}, None),
    ],
)
def test_the_allocators_blocks_can_grow_unless_somebody_has_set_it(monkeypatch, present, expected):
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.setenv(name, "")  # so that what is set here is taken back
        monkeypatch.delenv(name)
    for name, value in present.items():
        monkeypatch.setenv(name, value)
    make_accelerator(RuntimeSpec(device="cpu"), "fp32")
    assert os.environ.get("PYTORCH_ALLOC_CONF") == expected


def test_what_lives_before_a_block_is_not_searched_for_cycles_in_it():
    with collector_frozen():
        assert gc.get_freeze_count() > 1000
        assert gc.isenabled()
    assert gc.get_freeze_count() == 0
