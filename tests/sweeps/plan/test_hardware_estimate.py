"""GPU-hours and disk in closed form."""

from dataclasses import replace

import pytest

from sweeps.plan.hardware_estimate import (
    cost_lines,
    disk_bytes,
    gpu_times,
    in_bytes,
    in_hours,
    utilisation,
)
from tests.support.sweep_fixtures import expansion, grid
from train.config.flops import count_params
from train.config.gpu_peaks import PEAK_BF16_FLOPS

RUNS = expansion(iso=grid()).runs


def test_utilisation_is_half_of_the_best_at_the_half_size_and_grows_with_it():
    assert utilisation(30e6) == pytest.approx(0.2)
    assert utilisation(1e6) < utilisation(1e8) < utilisation(1e10) < 0.4


def test_device_hours_are_flops_over_what_the_gpu_is_taken_to_do():
    (made,) = gpu_times(RUNS, at_once=2, gpus=["A100"])
    seconds = [run.flops / (312e12 * utilisation(run.n_params)) for run in RUNS]
    assert made.device_hours == pytest.approx(sum(seconds) / 3600)
    assert max(seconds) / 3600 <= made.wall_hours <= made.device_hours


def test_more_gpus_a_run_shorten_the_wall_clock_alone():
    (one,) = gpu_times(RUNS, 1, gpus_a_run=1, gpus=["H100"])
    (eight,) = gpu_times(RUNS, 1, gpus_a_run=8, gpus=["H100"])
    assert eight.device_hours == one.device_hours
    assert eight.wall_hours == pytest.approx(one.wall_hours / 8)


def test_an_unknown_gpu_is_an_error():
    with pytest.raises(KeyError):
        gpu_times(RUNS, 1, gpus=["Voodoo2"])


def test_disk_counts_every_kept_checkpoint_and_the_states_in_flight():
    sizes = [count_params(run.job.spec.model).n_params_total for run in RUNS]
    disk = disk_bytes(RUNS, at_once=2)
    assert disk.checkpoints == 4 * sum(sizes)
    assert disk.states == 24 * sum(sorted(sizes)[-2:])
    assert disk.total == disk.checkpoints + disk.states
    runtime = replace(RUNS[0].job.runtime, keep_checkpoints=[0.5, 1.0])
    kept = [replace(run, job=replace(run.job, runtime=runtime)) for run in RUNS]
    assert disk_bytes(kept, 2).checkpoints == 2 * disk.checkpoints


def test_the_line_of_the_disk_adds_up_to_its_total_with_the_data():
    disk = disk_bytes(RUNS, 2, tokens=26e9, text=36e9)
    assert disk.total == disk_bytes(RUNS, 2).total + 62e9
    (line,) = cost_lines(RUNS, 2, gpus_a_run=0, disk=disk)
    assert line.startswith("disk: 62 GB (") and line.endswith("tokens 26 GB, text 36 GB)")


def test_hours_are_named_as_assumed_and_only_for_sweeps_on_gpus():
    assert len(cost_lines(RUNS, 2, gpus_a_run=0)) == 1
    line = cost_lines(RUNS, 2, gpus_a_run=4)[1]
    assert "assumed" in line
    assert "not measured" in line
    assert "on 8)" in line
    assert all(name in PEAK_BF16_FLOPS for name in ("RTX 4090", "A100", "H100"))


def test_quantities_are_said_in_peoples_units():
    assert (in_bytes(900), in_bytes(3.4e9), in_bytes(1.2e12)) == ("900 B", "3.4 GB", "1.2 TB")
    assert (in_hours(0.5), in_hours(5.21), in_hours(93583)) == ("30 min", "5.21 h", "93,583 h")
