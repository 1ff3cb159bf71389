"""A stored sweep.yaml, which may be a stranger's: numbers and model settings alone."""

from pathlib import Path
from typing import Any

import yaml

from sweeps.spec.config import SweepConfig
from train.config.cli import as_yaml, config_from_yaml
from train.config.spec import IsoflopError

NOT_TAKEN = ("launcher", "tracker")
"""What a results directory does not decide on the machine of whoever reads it: commands, the
environment, and where logs are sent to."""

OLD_KEYS = ("only", "sweep_fit")
"""Keys of earlier releases, which chose what one command did and say nothing of the runs."""


class StoredConfigError(IsoflopError):
    """A sweep.yaml that is damaged, or asks for what only a command line may ask for."""


def stored_config(root: Path) -> SweepConfig:
    """The configuration that a sweep was launched with, without its launcher and tracker.

    Of the launcher, only whether runs were simulated is kept, since that decides their numbers.
    Raises:  StoredConfigError: it can't be read, or holds an interpolation (`${...}`), which would
             be resolved with the environment and files of this machine.
    """
    path = root / "sweep.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise StoredConfigError(
            f"{path} can't be read ({reason}); launch the sweep again to restore it"
        ) from error
    if not isinstance(content, dict):
        raise StoredConfigError(f"{path} holds no settings; launch the sweep again to restore it")
    launcher = content.get("launcher")
    simulated = isinstance(launcher, dict) and launcher.get("kind") == "simulate"
    kept = {key: value for key, value in content.items() if key not in (*NOT_TAKEN, *OLD_KEYS)}
    if _interpolated(kept):
        raise StoredConfigError(
            f"{path} holds an interpolation (${{...}}), which is not resolved in results; "
            f"write its value there"
        )
    if simulated:
        kept["launcher"] = {"kind": "simulate"}
    return config_from_yaml(as_yaml(kept), SweepConfig)


def _interpolated(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_interpolated(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(map(_interpolated, value))
    return isinstance(value, str) and "${" in value
