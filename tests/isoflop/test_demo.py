import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import analysis.__main__
import eval.__main__
import sweeps.__main__
from isoflop import demo
from sweeps.spec.config import SweepConfig
from train.commands.command_line import translate
from train.config.cli import load_config

ROOT = Path(__file__).parents[2]
LINES = {
    package.COMMAND.name: package.COMMAND
    for package in (sweeps.__main__, eval.__main__, analysis.__main__)
}


@pytest.fixture
def ran(monkeypatch):
    """The commands that the demo starts, which then end with the status of `ran.status`."""
    found = SimpleNamespace(commands=[], status=0)

    def run(command, environment):
        found.commands.append(command)
        assert environment["OMP_NUM_THREADS"]
        return found.status

    monkeypatch.setattr(demo, "_run", run)
    return found


def test_every_step_is_a_command_in_todays_spelling():
    for name, *words in demo.steps("results/demo", ["launcher.workers=1"]):
        translated = translate(LINES[name], words)
        assert not translated.notices
        assert load_config(LINES[name].config_name, translated.overrides, LINES[name].config)


def test_the_steps_run_in_order_away_from_the_working_directory(ran):
    assert demo.main(["out/demo", "launcher.workers=1"], "isoflop demo") == 0
    assert [command[4:6] for command in ran.commands] == [
        ["sweep", "launch"], ["eval", "out/demo"], ["analyze", "out/demo"],
    ]  # fmt: skip
    assert all(command[1:4] == ["-P", "-m", "isoflop"] for command in ran.commands)
    assert ran.commands[0][-1] == "launcher.workers=1"


def test_settings_may_stand_alone_and_a_failing_step_ends_it(ran):
    ran.status = 3
    assert demo.main(["launcher.workers=1"], "isoflop demo") == 3
    assert [command[4:] for command in ran.commands] == [
        ["sweep", "launch", "results/demo", "preset=demo", "launcher.workers=1"]
    ]


def test_other_seeds_share_none_with_the_demo_and_change_nothing_else(ran):
    def planned(*settings):
        config = load_config("sweep", ["preset=demo", *settings], SweepConfig)
        return {name: grid.seeds or config.sweep.seeds for name, grid in config.sweep.grids.items()}

    assert demo.main(["results/x", "--seed-offset", "3", "calibrate=false"], "isoflop demo") == 0
    directory, preset, *settings = ran.commands[0][6:]
    assert (directory, preset, settings[-1]) == ("results/x", "preset=demo", "calibrate=false")
    own, others = planned(), planned(*settings)
    assert others == {name: [seed + 3 for seed in seeds] for name, seeds in own.items()}
    seeds = [{seed for one in plan.values() for seed in one} for plan in (own, others)]
    assert not seeds[0] & seeds[1]


def test_make_demo_is_the_set_up_and_this_command():
    target = re.search(r"^demo: setup.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    assert target is not None
    assert target[1].split("\n")[:-1] == ["\t$(PIN) $(BIN)/isoflop demo $(DEMO)"]


def test_sigterm_reaches_the_step_that_runs(tmp_path):
    mark = tmp_path / "stopped"
    child = (
        "import pathlib, signal, sys, time\n"
        f"signal.signal(15, lambda *_: (pathlib.Path({str(mark)!r}).touch(), sys.exit(7)))\n"
        f"pathlib.Path({str(tmp_path / 'up')!r}).touch()\n"
        "time.sleep(60)"
    )
    parent = (
        "import sys; from isoflop import demo; "
        f"sys.exit(demo._run([sys.executable, '-c', {child!r}], None))"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    while not (tmp_path / "up").exists():
        time.sleep(0.02)
    process.terminate()
    assert process.wait(timeout=30) == 7
    assert mark.exists()
