import os
import subprocess
import sys
from pathlib import Path

import pytest

import train.commands.processes as processes
from sweeps.launch.distributed import COMMAND
from sweeps.launch.pool import WORKER
from train.commands.processes import python_command, python_environment

ROOT = Path(__file__).parents[3]


@pytest.fixture
def with_namesakes(tmp_path):
    """A folder in which a user keeps modules that are called like ours."""
    for name in ("train.py", "sweeps.py", "conf.py", "torch.py"):
        (tmp_path / name).write_text("raise SystemExit('the user\\'s own module was imported')\n")
    for name in ("eval", "analysis", "conf"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('own package imported')\n")
    return tmp_path


def run(command, cwd, **environment):
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment
    return subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, check=False)


def test_the_packages_are_found_and_namesakes_of_the_working_directory_are_not(with_namesakes):
    without = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    answer = run(
        [*python_command("train.run"), str(with_namesakes / "none")],
        with_namesakes,
        **python_environment(without),
    )
    assert "own module" not in answer.stderr
    assert "none" in answer.stderr  # train.run itself complains of the directory


def test_every_process_of_ours_ignores_the_working_directory():
    for command in (WORKER, COMMAND, python_command("x", unbuffered=True)):
        assert command[:2] == [sys.executable, "-P"]


def test_pythonpath_names_a_checkout_once_and_never_site_packages(monkeypatch):
    given = python_environment({"PYTHONPATH": "/a", "X": "1"})
    assert given == {"PYTHONPATH": f"{ROOT}{os.pathsep}/a", "X": "1"}
    assert python_environment(given) == given
    monkeypatch.setattr(processes, "ROOT", Path("/usr/lib/python3/site-packages"))
    assert python_environment({}) == {}


@pytest.mark.slow
@pytest.mark.parametrize("start", [["-m", "isoflop"], ["-P", "-m", "isoflop"]])
def test_a_sweep_trains_among_the_users_own_modules(with_namesakes, start):
    words = [
        "sweep", "launch", "out", "sweep=grid", "data=arithmetic", "calibrate=false",
        "sweep.grids.grid.d_models=[16]", "sweep.grids.grid.n_tokens=[3e4]", "model.seq_len=32",
        "optim.batch_tokens=256", "launcher.workers=1", "data.val_tokens=4096",
    ]  # fmt: skip
    answer = run([sys.executable, *start, *words], with_namesakes, PYTHONPATH=str(ROOT))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "1 finished" in answer.stdout


def test_the_wandb_service_of_this_process_is_not_handed_on():
    given = {"WANDB_SERVICE": "3-1-unix-x", "WANDB_PROJECT": "p"}
    assert "WANDB_SERVICE" not in python_environment(given)
    assert python_environment(given)["WANDB_PROJECT"] == "p"
