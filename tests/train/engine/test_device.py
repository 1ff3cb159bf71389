"""What a run asks of its device, and what a later run of the process finds."""

import json
import os
from dataclasses import replace
from pathlib import Path

import torch

from train import run as run_module
from train.config.run_config import RunConfig
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
