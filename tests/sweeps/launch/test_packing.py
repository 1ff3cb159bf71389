"""Where the runs of a sweep go: several on a GPU, with MPS or not, or one on each core."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweeps import training
from sweeps.launch import packing as packing_module
from sweeps.launch.launch import write_sweep
from sweeps.launch.mps import CONTROL
from sweeps.launch.packing import packed, time_together
from sweeps.plan.cost_model import Speed, predicted_seconds, size_of
from sweeps.plan.plan import Plan, make_plan
from sweeps.plan.throughput import CalibrationError, cached_speeds, keep, timed_sizes
from sweeps.spec.config import SweepConfig
from tests.support.sweep_fixtures import FAKES, expansion, grid
from train.config.cli import load_config
from train.config.flops import flops_per_token
from train.rundir.sweep_layout import SweepPaths

SWEEP = (
    *("preset=workstation", "tracker=files", "precision=fp32", "runtime.device=auto"),
    *("sweep.grids.isoflop.budgets=[1e15,2e15]", "sweep.grids.isoflop.d_models=[128,192,256]"),
    *("model.seq_len=256", "runtime.threads=1"),
)
PEAK = 1e13
"""FLOP/s of the imagined GPU, of which its smallest models alone take a tenth."""


@pytest.fixture(autouse=True)
def two_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two GPUs, sixteen cores, and nothing in the cache; no MPS."""
    monkeypatch.setenv("PATH", f"{FAKES}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_GPUS", "2")
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_MPS_PIPE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    for module in ("sweeps.plan.plan", "sweeps.launch.packing"):
        monkeypatch.setattr(f"{module}.usable_cores", lambda: list(range(16)))


def config(tmp_path: Path, action: str, *overrides: str) -> SweepConfig:
    words = [f"action={action}", f"out={tmp_path / 'sweep'}", *SWEEP, *overrides]
    return load_config("sweep", words, SweepConfig).settled()


def planned(tmp_path: Path, *overrides: str) -> Plan:
    """A plan whose models' speeds alone on a GPU are known."""
    made = config(tmp_path, "plan", *overrides)
    jobs = [run.job for run in make_plan(made).runs]
    sizes = [flops_per_token(job.spec.model) for job in timed_sizes(jobs)]
    keep([Speed(size, 0.1 * PEAK / size) for size in sizes], jobs, "0")
    return make_plan(made)


class Card:
    """Times of processes that share a GPU: together faster until they fill it; and of cores."""

    def __init__(self, full: float, cores: float = 0.0, gain_by_mps: float = 1.0) -> None:
        self.full, self.cores, self.gain_by_mps = full, cores, gain_by_mps
        self.asked: list[tuple[str | None, int, bool]] = []

    def __call__(self, jobs, device, at_once, variables):
        self.asked.append((device, at_once, "CUDA_MPS_PIPE_DIRECTORY" in variables))
        if device is None:
            if not self.cores:
                raise CalibrationError("no core")
            share = self.cores
        else:
            gain = self.gain_by_mps if variables else 1.0
            share = min(0.1, gain * self.full / at_once)
        sizes = [flops_per_token(job.spec.model) for job in jobs]
        return [Speed(size, share * PEAK / size) for size in sizes]


def never(*arguments: object) -> list[Speed]:
    raise AssertionError("a plan must not start anything on a GPU")


def test_a_launch_takes_what_is_over_first_and_says_what_it_timed(tmp_path):
    """Six runs on two cards, each filled by three and a half."""
    plan = planned(tmp_path)
    card = Card(full=0.35)
    made = packed(plan, config(tmp_path, "launch"), card)
    assert [asked[:2] for asked in card.asked] == [("0", 2), ("0", 4), (None, 8)]
    assert made.packing is not None
    assert made.workers == 2 * made.packing.way.runs_per_device
    for run, seconds in zip(made.runs, made.seconds, strict=True):
        share = min(0.1, 0.35 / made.packing.way.runs_per_device)
        speed = Speed(size_of(run), share * PEAK / size_of(run))
        expected = predicted_seconds(size_of(run), run.n_tokens, [speed])
        assert seconds == pytest.approx(expected, rel=1e-6)
    walls = made.packing.wall_seconds
    assert list(walls) == ["1 a GPU", "2 a GPU", "4 a GPU"]
    assert made.packing.way.label == min(walls, key=lambda way: walls[way]) != "1 a GPU"
    assert made.wall_seconds() == pytest.approx(min(walls.values()))
    assert walls["1 a GPU"] == pytest.approx(plan.wall_seconds())
    (line,) = made.packing_lines
    assert f"runs go {made.packing.way.label}, the fastest as timed (1 a GPU" in line
    assert "on the CPU's cores: no core" in line
    assert "nvidia-cuda-mps-control is not installed" in line
    assert packed(plan, config(tmp_path, "plan"), never).packing.way == made.packing.way


def test_it_stops_where_more_runs_do_not_gain_and_larger_ones_take_turns(tmp_path):
    plan = planned(tmp_path)

    def only_the_smallest_fits(jobs, device, at_once, variables):
        if device is None:
            raise CalibrationError("none")
        size = flops_per_token(jobs[0].spec.model)
        return [Speed(size, 0.1 * PEAK / size / 2)]  # two train what one does alone

    made = packed(plan, config(tmp_path, "launch"), only_the_smallest_fits)
    assert made.packing is not None
    assert list(made.packing.wall_seconds) == ["1 a GPU", "2 a GPU"]
    assert made.packing.way.runs_per_device == 1
    assert made.seconds == plan.seconds
    two = packed(plan, config(tmp_path, "plan"), never).packing
    assert two is not None
    largest = timed_sizes([run.job for run in plan.runs])[-1]
    alone = cached_speeds([run.job for run in plan.runs], "0")
    assert alone[-1].flops_per_token == flops_per_token(largest.spec.model)


def test_the_cores_are_taken_where_they_are_faster_and_runs_may_go_there(tmp_path):
    made = packed(planned(tmp_path), config(tmp_path, "launch"), Card(full=0.1, cores=0.09))
    assert made.packing is not None
    assert made.packing.way.label == "on the CPU's cores"
    assert (made.workers, made.on_gpus) == (16, False)
    for settings in (["runtime.device=cuda"], ["launcher.devices=0"]):
        card = Card(full=0.1, cores=0.09)
        kept = packed(planned(tmp_path, *settings), config(tmp_path, "launch", *settings), card)
        assert None not in [device for device, *_ in card.asked]
        assert kept.packing is None or kept.packing.way.runs_per_device > 0


@pytest.mark.parametrize(("asked", "ways"), [("null", 5), ("false", 3), ("true", 3)])
def test_mps_is_timed_beside_plain_sharing_unless_settled(tmp_path, monkeypatch, asked, ways):
    control = tmp_path / CONTROL
    control.write_text("#!/bin/sh\ncat > /dev/null\n")
    control.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{FAKES}:/usr/bin:/bin")
    settings = [f"launcher.mps={asked}", "launcher.devices='0,1'"]
    card = Card(full=0.2, gain_by_mps=1.5)
    made = packed(planned(tmp_path, *settings), config(tmp_path, "launch", *settings), card)
    assert made.packing is not None
    assert len(made.packing.wall_seconds) == ways
    assert made.packing.way.mps == (asked != "false")
    assert {by_mps for *_, by_mps in card.asked} == {"null": {True, False}}.get(
        asked, {asked == "true"}
    )
    launcher = made.packing.way.launcher(config(tmp_path, "launch").launcher)
    assert (launcher.runs_per_device, launcher.mps) == (
        made.packing.way.runs_per_device,
        made.packing.way.mps,
    )


def test_what_is_settled_or_short_or_unknown_is_not_timed(tmp_path):
    plan = planned(tmp_path)
    for settings in (["launcher.runs_per_device=1"], ["calibrate=false"], ["launcher=inline"]):
        assert packed(plan, config(tmp_path, "launch", *settings), never) is plan
    short = ["sweep.grids.isoflop.budgets=[1e13]", "sweep.grids.isoflop.d_models=[16]"]
    made = packed(planned(tmp_path, *short), config(tmp_path, "launch", *short), never)
    assert made.packing is None
    assert 0 < (made.wall_seconds() or 0) < packing_module.WORTH_SECONDS


def test_a_choice_is_kept_by_the_sweep_and_used_by_the_launcher(tmp_path, monkeypatch):
    launched = config(tmp_path, "launch")
    made = packed(planned(tmp_path), launched, Card(full=1.0))
    assert made.packing is not None
    assert made.packing.way.runs_per_device == 4
    write_sweep(made, launched, "", [])
    stored = json.loads(SweepPaths(launched.root).packing.read_text())
    assert stored["way"] == {"runs_per_device": 4, "mps": False}
    assert stored["gpu"] == "NVIDIA H100 80GB HBM3"
    used = []
    monkeypatch.setattr(
        "sweeps.launch.launch.train_here", lambda tasks, launcher, *_: used.append(launcher)
    )
    monkeypatch.setattr(training, "collect", lambda *_: 0)

    def workers(*overrides: str) -> int | None:
        from rich.console import Console

        again = config(tmp_path, "launch", *overrides)
        task = SimpleNamespace(run_dir=tmp_path / "run")
        training.train_tasks(again, [task], 1, [], Console(quiet=True))
        return used[-1].packed

    again = make_plan(config(tmp_path, "plan"))
    assert (again.workers, again.seconds) == (made.workers, made.seconds)
    assert "times are of runs 4 a GPU, as they were timed" in again.assumed
    assert packed(again, launched, never) is again
    assert workers() == 4
    assert workers("launcher.runs_per_device=3") == 3
    monkeypatch.setenv("FAKE_GPU_NAME", "NVIDIA A10")  # chosen for another card
    assert workers() == 1


def test_a_number_that_was_not_timed_is_predicted_by_a_run_alone_which_is_said(tmp_path):
    planned(tmp_path)
    made = make_plan(config(tmp_path, "plan", "launcher.runs_per_device=3"))
    assert made.workers == 6
    assert "times are of a run alone on its GPU; 3 a GPU was not timed" in made.assumed


CHILD = """
import json, os, sys, time
from pathlib import Path
from types import SimpleNamespace
folder = Path(sys.argv[1])
print_ = lambda text: print(text, flush=True)
def comes_first():
    try:
        (folder / "first").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
jobs = json.loads(sys.stdin.readline())
speeds = []
for number, job in enumerate(jobs):
    {before}
    (folder / f"{{number}}-{{os.getpid()}}").touch()
    print_("ready")
    if sys.stdin.readline() != "go\\n":
        break
    here = len(list(folder.glob(f"{{number}}-*")))
    speeds.append({{"flops_per_token": float(number), "tokens_per_second": float(here)}})
print_(json.dumps(speeds))
"""
JOBS = [run.job for run in expansion(iso=grid(d_models=[8, 16])).runs][:2]


def timed(folder: Path, at_once: int, before: str = "pass") -> list[Speed]:
    folder.mkdir(exist_ok=True)
    child = [sys.executable, "-c", CHILD.format(before=before), str(folder)]
    return time_together(JOBS, "0", at_once, {"FAKE": "1"}, child)


def test_all_processes_are_ready_before_any_is_timed(tmp_path):
    assert timed(tmp_path / "3", 3) == [Speed(0.0, 3.0), Speed(1.0, 3.0)]


@pytest.mark.parametrize(
    ("before", "n_timed"),
    [
        ('if number: print_("full"); break', 1),  # in every process
        ('if number and not comes_first(): print_("full"); break', 1),  # in one of them
        ('if os.environ["FAKE"] != "1": raise SystemExit("no variables")', 2),
    ],
)
def test_what_does_not_fit_beside_the_others_ends_the_timing(tmp_path, before, n_timed):
    assert len(timed(tmp_path / "run", 2, before)) == n_timed


def test_a_process_that_fails_ends_the_others_and_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(CalibrationError, match=r"exit status 1\): no such card$"):
        timed(tmp_path / "fails", 2, 'raise SystemExit("broken\\nno such card")')
    monkeypatch.setattr(packing_module, "TIMEOUT_SECONDS", 1.0)
    with pytest.raises(CalibrationError, match="exit status -9"):
        timed(tmp_path / "hangs", 2, "time.sleep(600)")
    gone = replace(JOBS[0], name="x")
    with pytest.raises(CalibrationError, match="no process could be started"):
        time_together([gone], "0", 1, {}, [str(tmp_path / "nothing")])
