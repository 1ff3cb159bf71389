import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import analysis.__main__
import eval.__main__
import sweeps.__main__
import train.__main__
from isoflop.settings import page
from train.commands.command_line import translate
from train.commands.settings import settings, settings_text
from train.config.cli import load_config
from train.config.keys import keys

ROOT = Path(__file__).parents[3]
COMMANDS = {
    package.COMMAND.name: package.COMMAND
    for package in (train.__main__, sweeps.__main__, eval.__main__, analysis.__main__)
}
HIDDEN_BEFORE = (
    "optim.lr_peak", "launcher.workers", "launcher.partition", "model.seq_len", "data.max_epochs",
    "sweep.bounds.max_flops", "sweep.grids.isoflop.bounds.min_steps",
)  # fmt: skip


def shown(name: str, *words: str) -> dict:
    command = COMMANDS[name]
    overrides = translate(command, words).overrides
    return yaml.safe_load(settings_text(command.config_name, command.config, overrides))


def test_every_key_is_shown_with_its_value():
    plan = shown("sweep", "plan", "optim.lr_peak=3e-3", "launcher.env.A=b")
    assert set(HIDDEN_BEFORE) <= set(plan)
    assert plan["optim.lr_peak"] == pytest.approx(3e-3)
    assert plan["launcher.env"] == {"A": "b"}
    assert shown("train")["horizon.tokens_per_param"] == 20


@pytest.mark.parametrize("name", COMMANDS)
def test_the_settings_are_those_of_the_dataclasses(name):
    command = COMMANDS[name]
    rows = settings(command.config_name, command.config, [])
    listed = {row.key for row in rows}
    fixed = {key.name for key in keys(command.config) if "NAME" not in key.name}
    assert fixed <= listed
    assert len(listed) == len(rows)


def test_the_defaults_are_what_a_command_without_settings_runs_with():
    config = dataclasses.asdict(load_config("train", [], COMMANDS["train"].config))
    for row in settings("train", COMMANDS["train"].config, []):
        value = config
        for part in row.key.split("."):
            value = value[part]
        # YAML 1.1 takes 1e-08 for a text.
        shown = float(row.default) if isinstance(value, float) else yaml.safe_load(row.default)
        assert shown == value, row.key


def test_the_page_of_settings_is_up_to_date():
    assert (ROOT / "docs" / "settings.md").read_text() == page(), (
        "docs/settings.md is out of date; write it: python -m isoflop.settings > docs/settings.md"
    )


def test_the_option_prints_them_and_runs_nothing(tmp_path):
    command = [sys.executable, "-m", "isoflop", "analyze", "--cfg"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "fit.delta: 0.001" in answer.stdout
    assert "# number, default 0.001" in answer.stdout
