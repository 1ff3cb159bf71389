"""What a record says of the devices that trained a run."""

from dataclasses import replace

import pytest
import torch

from train.config.run_config import RunConfig
from train.data.dataset import Dataset
from train.engine import build_record, device
from train.engine.build_record import record_of
from train.engine.loop import Outcome


def test_utilisation_is_of_all_devices_and_the_speed_is_their_sum(tiny_job: RunConfig, monkeypatch):
    monkeypatch.setattr(build_record, "peak_flops", lambda device, spec: 1e12)
    dataset, outcome = Dataset.open(tiny_job.spec), Outcome(step=40, seconds=2.0)
    one, eight = (
        record_of(tiny_job, outcome, dataset, torch.device("cpu"), n_devices=n) for n in (1, 8)
    )
    assert one.mfu == pytest.approx(one.flops_spent / 2.0 / 1e12)
    assert eight.mfu == pytest.approx(one.mfu / 8)
    assert eight.flops_per_second == one.flops_per_second
    assert (one.n_devices, eight.n_devices) == (1, 8)


def test_versions_of_cuda_are_recorded_where_it_computes(tmp_path, monkeypatch):
    assert set(device.device_versions(torch.device("cpu")).values()) == {None}
    (tmp_path / "version").write_text("580.65.06\n")
    monkeypatch.setattr(device, "DRIVER_VERSION", tmp_path / "version")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91300)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    monkeypatch.setattr(device, "nccl_version", lambda: (2, 28, 3))
    assert device.device_versions(torch.device("cuda")) == {
        "cuda_version": "13.0",
        "cudnn_version": "91300",
        "nccl_version": "2.28.3",
        "driver_version": "580.65.06",
    }


def test_a_machine_without_nccl_or_a_driver_file_says_so_with_none(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "DRIVER_VERSION", tmp_path / "absent")
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    versions = device.device_versions(torch.device("cuda"))
    assert (versions["nccl_version"], versions["driver_version"]) == (None, None)


def test_float32_has_no_utilisation(tiny_job: RunConfig, monkeypatch):
    monkeypatch.setattr(device, "device_name", lambda _: "NVIDIA H100 80GB HBM3")
    card = torch.device("cuda")
    assert device.peak_flops(card, tiny_job.spec) is None
    assert device.peak_flops(card, replace(tiny_job.spec, precision="bf16")) == 989e12
