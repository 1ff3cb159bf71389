"""GPUs as nvidia-smi names them: indices, UUIDs, MIG slices, and none at all."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sweeps.launch.local import memory_limits, working_devices
from sweeps.plan.machine import Slot, environment, gpu_names, make_slots, visible_devices
from sweeps.spec.config import SweepConfig
from sweeps.spec.grids import SweepSpec
from sweeps.spec.launcher import LauncherSpec
from tests.support.sweep_fixtures import FAKES, grid
from train.config.run_config import RuntimeSpec
from train.config.spec import DataSpec, SourceSpec

CARDS = """0, GPU-aaaa1111-0, 40960, NVIDIA A100-SXM4-40GB
1, GPU-bbbb2222-1, 81559, NVIDIA H100 80GB HBM3"""
LISTED = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa1111-0)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb2222-1)"""
SPLIT = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa1111-0)
  MIG 3g.20gb     Device  0: (UUID: MIG-cccc-0)
  MIG 1g.5gb      Device  1: (UUID: MIG-dddd-1)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb2222-1)"""


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An nvidia-smi that lists what the test gives it."""

    def install(cards: str = CARDS, listed: str = LISTED) -> None:
        script = tmp_path / "nvidia-smi"
        script.write_text(
            f"#!/bin/sh\nif [ \"$1\" = -L ]; then cat <<'EOF'\n{listed}\nEOF\n"
            f"else cat <<'EOF'\n{cards}\nEOF\nfi\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return install


@pytest.mark.parametrize("n_cards", [1, 8])
@pytest.mark.parametrize("gigabytes", [24, 48, 80])
def test_a_pool_has_a_place_on_every_card_within_its_memory(monkeypatch, n_cards, gigabytes):
    monkeypatch.setenv("PATH", f"{FAKES}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_GPUS", str(n_cards))
    monkeypatch.setenv("FAKE_GPU_MIB", str(gigabytes * 1024))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices = visible_devices(LauncherSpec())
    slots = make_slots(LauncherSpec(runs_per_device=2), list(range(32)), devices)
    assert [slot.device for slot in slots] == 2 * [str(card) for card in range(n_cards)]
    limits = memory_limits(LauncherSpec(), set(devices), len(slots))
    assert limits == dict.fromkeys(devices, pytest.approx(0.9 * gigabytes * 2**30))
    assert [environment(slot, {})["CUDA_VISIBLE_DEVICES"] for slot in slots] == devices * 2


@pytest.mark.parametrize("device", ["1", "GPU-bbbb2222-1", "GPU-bbbb"])
def test_a_card_has_its_memory_limit_by_index_by_uuid_and_by_its_beginning(answers, device):
    answers()
    limits = memory_limits(LauncherSpec(), {device}, 1)
    assert limits == {device: pytest.approx(0.9 * 81559 * 2**20)}
    assert gpu_names([device]) == {device: "NVIDIA H100 80GB HBM3"}


def test_a_beginning_that_fits_two_cards_is_none_of_them(answers):
    answers()
    assert memory_limits(LauncherSpec(), {"GPU-"}, 1) == {}


def test_a_split_card_gives_its_slices_with_their_own_memory(answers):
    answers(listed=SPLIT)
    assert visible_devices(LauncherSpec()) == ["MIG-cccc-0", "MIG-dddd-1", "1"]
    limits = memory_limits(LauncherSpec(), {"MIG-cccc-0", "MIG-dddd-1"}, 2)
    assert limits == {"MIG-cccc-0": pytest.approx(18e9), "MIG-dddd-1": pytest.approx(4.5e9)}


@pytest.mark.parametrize(
    ("value", "ids"), [("-1", []), ("", []), ("NoDevFiles", []), ("2,-1,3", ["2"]), ("0,1", None)]
)
def test_ids_are_read_up_to_the_first_that_is_none_as_cuda_does(answers, monkeypatch, value, ids):
    answers()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_devices(LauncherSpec()) == (["0", "1"] if ids is None else ids)


@pytest.mark.slow
def test_without_a_torch_that_knows_the_cards_runs_train_on_the_cpu_and_it_is_said(answers, caplog):
    answers()
    if torch.cuda.is_available():
        pytest.skip("torch can use a GPU here")
    assert working_devices(LauncherSpec()) == []
    assert f"lists 2 GPUs and none is used: torch {torch.__version__} sees no GPU" in caplog.text
    assert working_devices(LauncherSpec(devices="1")) == ["1"]  # as asked: its worker will fail


def test_workers_count_cards_as_nvidia_smi_does_unless_told_otherwise():
    slot = Slot(0, "1", (), 1)
    assert environment(slot, {})["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    asked = {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    assert environment(slot, asked)["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


@pytest.mark.parametrize(("device", "slots"), [("cpu", [None] * 4), ("auto", ["0", "1"])])
def test_a_sweep_on_cpus_takes_cores_and_not_the_cards(answers, device, slots):
    answers()
    config = SweepConfig(
        data=DataSpec(parts={"text": SourceSpec()}),
        sweep=SweepSpec(name="s", seeds=[0], grids={"iso": grid()}),
        runtime=RuntimeSpec(device=device),
    ).settled()
    made = make_slots(config.launcher, list(range(4)), visible_devices(config.launcher))
    assert [slot.device for slot in made] == slots


def test_devices_that_are_named_outrank_the_rule_for_cpus():
    config = SweepConfig(
        data=DataSpec(parts={"text": SourceSpec()}),
        sweep=SweepSpec(name="s", seeds=[0], grids={"iso": grid()}),
        runtime=RuntimeSpec(device="cpu"),
    )
    named = replace(config, launcher=LauncherSpec(devices="1"))
    assert named.settled().launcher.devices == "1"


def test_a_card_that_shares_the_machines_memory_is_used_and_has_no_limit(answers):
    answers(cards="0, GPU-aaaa1111-0, [N/A], NVIDIA GB10")
    assert visible_devices(LauncherSpec()) == ["0"]
    assert memory_limits(LauncherSpec(), {"0"}, 1) == {}
