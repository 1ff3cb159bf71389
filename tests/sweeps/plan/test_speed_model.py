"""One model of speed for the plan and for Slurm's time limits."""

import subprocess
import sys
from pathlib import Path

import pytest

import sweeps.plan.throughput as throughput
from sweeps.launch.launch import tasks_of
from sweeps.plan.cost_model import Speed, predicted_seconds
from sweeps.plan.hardware_estimate import utilisation
from sweeps.plan.plan import make_plan
from sweeps.plan.speed_model import corrected
from sweeps.slurm.resources import TIME_MARGIN, UNKNOWN_MINUTES, batches
from sweeps.spec.config import SweepConfig
from sweeps.spec.launcher import LauncherSpec
from tests.support.sweep_fixtures import FAKES
from train.config.cli import load_config
from train.config.spec import SpecError


@pytest.fixture
def eight_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An nvidia-smi that lists eight cards of a name, where starting any other program fails."""

    def install(name: str) -> None:
        monkeypatch.setenv("FAKE_GPUS", "8")
        monkeypatch.setenv("FAKE_GPU_NAME", name)
        monkeypatch.setenv("PATH", f"{FAKES}:/usr/bin:/bin")
        monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def refuse(*arguments: object) -> None:
        raise AssertionError("a plan must not time steps on a GPU")

    monkeypatch.setattr(throughput, "measure", refuse)
    return install


def config(*overrides: str) -> SweepConfig:
    return load_config("sweep", ["action=plan", *overrides], SweepConfig).settled()


@pytest.mark.parametrize("preset", ["workstation", "box8", "cluster"])
def test_a_preset_has_times_without_a_step_being_timed(eight_cards, preset):
    eight_cards("NVIDIA H100 80GB HBM3")
    plan = make_plan(config(f"preset={preset}"))
    assert "assumed for NVIDIA H100 80GB HBM3 from its data sheet" in " ".join(plan.assumed)
    for run, seconds in zip(plan.runs, plan.seconds, strict=True):
        size = run.flops / run.n_tokens
        speed = Speed(size, 989e12 * utilisation(run.n_params) / size)
        assert seconds == pytest.approx(
            predicted_seconds(speed.flops_per_token, run.n_tokens, [speed]), rel=1e-6
        )


@pytest.mark.parametrize(("given", "named"), [([], "A100"), (["launcher.gpu=H200"], "H200")])
def test_slurms_time_limits_hold_the_longest_run(monkeypatch, given, named):
    """On A100s it takes days: 240 minutes and 20 requeues would end it half way."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    made = config("preset=cluster", *given)
    plan = make_plan(made)
    assert f"assumed for {named} from its data sheet" in " ".join(plan.assumed)
    longest = max(plan.seconds) / 60
    assert longest > 21 * UNKNOWN_MINUTES if named == "A100" else longest > UNKNOWN_MINUTES
    limits = [batch.minutes for batch in batches(tasks_of(plan), made.launcher)]
    assert max(limits) >= TIME_MARGIN * longest
    assert min(limits) < max(limits) / 10


def test_a_plan_loads_no_torch(eight_cards, tmp_path):
    eight_cards("NVIDIA H100 80GB HBM3")
    code = (
        "import sys; from sweeps.__main__ import COMMAND; "
        "from train.commands.command_line import run_command\n"
        "try: run_command(COMMAND, ['plan', 'preset=box8'], 'sweep')\n"
        "finally: assert 'torch' not in sys.modules"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "left: about" in ended.stdout


def test_finished_runs_correct_what_is_predicted_and_speak_for_their_own_size():
    base = [Speed(1e6, 1000.0), Speed(1e8, 10.0)]
    own = [Speed(1e7, 50.0)]  # half of the 100 between the two
    speeds, ratio = corrected(base, own)
    assert ratio == pytest.approx(0.5)
    found = {speed.flops_per_token: speed.tokens_per_second for speed in speeds}
    assert found == pytest.approx({1e6: 500.0, 1e7: 50.0, 1e8: 5.0})
    assert corrected([], own) == (own, 1.0)
    assert corrected(base, []) == (base, 1.0)


def test_a_gpu_that_is_not_known_is_refused_with_those_that_are():
    with pytest.raises(SpecError, match=r"launcher.gpu='A1000' is not known; expected .*A100"):
        LauncherSpec(gpu="A1000")
