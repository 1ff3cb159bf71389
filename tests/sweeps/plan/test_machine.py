"""Workers' places on a machine, with made-up cores and devices."""

import pytest

from sweeps.launch.local import memory_limits
from sweeps.plan.machine import environment, make_slots, visible_devices
from sweeps.spec.launcher import LauncherSpec
from train.config.spec import SpecError

CORES = list(range(8))


def test_cpu_workers_fill_the_cores_and_are_pinned_to_disjoint_sets():
    slots = make_slots(LauncherSpec(threads_per_worker=2), CORES, [])
    assert [slot.cores for slot in slots] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert {slot.device for slot in slots} == {None}


def test_a_pool_that_does_not_fill_the_machine_is_not_pinned():
    slots = make_slots(LauncherSpec(workers=3), CORES, [])
    assert [slot.cores for slot in slots] == [(), (), ()]


def test_every_gpu_gets_its_runs_and_they_are_spread_before_they_are_stacked():
    slots = make_slots(LauncherSpec(runs_per_device=2), CORES, ["0", "1"])
    assert [slot.device for slot in slots] == ["0", "1", "0", "1"]
    assert [slot.cores for slot in slots] == [(0, 1), (2, 3), (4, 5), (6, 7)]


def test_more_workers_than_cores_still_have_places():
    slots = make_slots(LauncherSpec(workers=16), CORES, [])
    assert len(slots) == 16
    assert all(slot.cores == () for slot in slots)


def test_a_worker_sees_its_own_device_alone():
    gpu, cpu = make_slots(LauncherSpec(), [0], ["3"])[0], make_slots(LauncherSpec(), [0], [])[0]
    inherited = {"CUDA_VISIBLE_DEVICES": "0,1,2,3", "HOME": "/h"}
    assert environment(gpu, inherited)["CUDA_VISIBLE_DEVICES"] == "3"
    assert environment(cpu, inherited)["CUDA_VISIBLE_DEVICES"] == ""
    assert environment(gpu, inherited)["HOME"] == "/h"
    assert environment(gpu, inherited)["OMP_NUM_THREADS"] == "1"


def test_devices_are_taken_from_the_setting_then_the_environment(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    assert visible_devices(LauncherSpec()) == ["4", "5"]
    assert visible_devices(LauncherSpec(devices="none")) == []
    assert visible_devices(LauncherSpec(devices="1, 2")) == ["1", "2"]


def test_memory_limits_follow_the_setting():
    limits = memory_limits(LauncherSpec(memory_gb=2), {"0", "1"}, 2)
    assert limits == {"0": 2e9, "1": 2e9}
    assert memory_limits(LauncherSpec(), {None}, 1)[None] > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "cloud"}, "inline, pool, slurm"),
        ({"workers": 0}, "launcher.workers=0 must be positive"),
        ({"threads_per_worker": 0}, "must be positive"),
        ({"devices": ","}, "auto, none, or ids"),
        ({"runs_per_job": 4, "gpus": 8}, "packs small runs"),
        ({"hang_seconds": 0}, "must be positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, message):
    with pytest.raises(SpecError, match=message):
        LauncherSpec(**values)
