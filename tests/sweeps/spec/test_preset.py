"""A configuration written as a preset composes into the same runs."""

from pathlib import Path

import pytest

from sweeps.spec.config import SweepConfig
from sweeps.spec.preset import PARTS, preset_text
from train.config.cli import UsageError, group_options, load_config


def composed(*overrides: str) -> SweepConfig:
    return load_config("sweep", list(overrides), SweepConfig)


def written(config: SweepConfig, directory: Path) -> Path:
    path = directory / "own preset=1.yaml"
    path.write_text(preset_text(config, ["What it is for."]))
    return path


@pytest.mark.parametrize("preset", group_options("preset"))
def test_every_preset_survives(preset, tmp_path):
    config = composed(f"preset={preset}")
    again = composed(f"preset={written(config, tmp_path)}")
    for part in (*PARTS, "launcher"):
        assert getattr(again, part) == getattr(config, part), part


def test_overrides_of_any_group_survive(tmp_path):
    config = composed(
        "model=d32", "data=grammar", "optim=steplaw", "schedule=wsd", "launcher=slurm",
        "launcher.partition=gpu", "sweep.seeds=[3,4]", "sweep.surface=kaplan", "out=somewhere",
        "+sweep.grids.isoflop.base.schedule.final_fraction=0.05",
    )  # fmt: skip
    again = composed(f"preset={written(config, tmp_path)}")
    for part in (*PARTS, "launcher"):
        assert getattr(again, part) == getattr(config, part), part


def test_the_command_line_wins_over_the_file(tmp_path):
    path = written(composed("launcher=slurm", "sweep.name=mine"), tmp_path)
    again = composed(f"preset={path}", "launcher=simulate", "sweep.seeds=[7]", "launcher.workers=2")
    assert again.launcher.kind == "simulate"
    assert again.launcher.workers == 2
    assert again.sweep.seeds == [7]
    assert again.sweep.name == "mine"


def test_defaults_are_left_out(tmp_path):
    text = written(composed("model=d32"), tmp_path).read_text()
    assert text.startswith("# @package _global_\n# What it is for.\n")
    assert "n_layers" not in text
    assert "tokens_per_param" not in text


@pytest.mark.parametrize("content", [None, "- a list", "a: [unclosed"])
def test_a_file_that_is_no_preset_is_one_clear_line(tmp_path, content):
    path = tmp_path / "preset.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=r"preset=.*preset\.yaml") as caught:
        composed(f"preset={path}")
    assert "\n" not in str(caught.value)
