"""A sweep's configuration as a preset file: `isoflop sweep launch preset=FILE.yaml` launches it.

Everything that decides the runs' numbers is in the file, so that no group chosen elsewhere changes
them; how they are launched can be chosen as for any preset (launcher=slurm launcher.partition=...).
"""

from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from sweeps.spec.config import SweepConfig
from train.config.cli import as_yaml

PARTS = ("model", "data", "optim", "schedule", "precision", "runtime", "tracker", "sweep", "out")
GROUPS = ("model", "data", "optim", "schedule", "tracker")


def preset_text(config: SweepConfig, comments: list[str]) -> str:
    """The preset that composes into this configuration's runs, under comment lines.

    Values that are the defaults of their dataclass are left out.
    """
    chosen = {**dict.fromkeys(GROUPS), "sweep": "empty", "launcher": config.launcher.kind}
    content: dict[str, Any] = {
        "defaults": [{f"override /{group}": option} for group, option in chosen.items()],
        **{name: _plain(getattr(config, name)) for name in PARTS},
    }
    # The one default of a dataclass, for stored sweeps, that is not what a new sweep has.
    content["sweep"]["head_rule"] = config.sweep.head_rule
    launcher = {k: v for k, v in _plain(config.launcher).items() if k != "kind"}
    content |= {"launcher": launcher} if launcher else {}
    content = {name: value for name, value in content.items() if value is not None}
    header = ["# @package _global_", *(f"# {line}" for line in comments)]
    return "\n".join([*header, as_yaml(content)])


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries without the fields that hold their defaults."""
    if is_dataclass(value) and not isinstance(value, type):
        shown = [f for f in fields(value) if getattr(value, f.name) != _default(f)]
        return {f.name: _plain(getattr(value, f.name)) for f in shown}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _default(field: "Field[Any]") -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default
