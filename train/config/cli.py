"""The only user of Hydra and OmegaConf: command-line overrides in, checked dataclasses out.

Every front door (`python -m train | sweeps | eval | analysis`) goes through `front_door`, so that
all of them answer --help, -m and bad input alike.
"""

import argparse
import dataclasses
import hashlib
import itertools
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from train.config.spec import IsoflopError
from train.config.terminal import visible

CONF_DIR = Path(__file__).resolve().parents[2] / "conf"

T = TypeVar("T")


class UsageError(IsoflopError):
    """A command line that does not compose into a valid configuration."""


def load_config(config_name: str, overrides: list[str], cls: type[T]) -> T:
    """Compose `conf/<config_name>.yaml` with overrides into an instance of a frozen dataclass.

    Raises:  UsageError: unknown key, group option or type; IsoflopError: the class's own checks.
    """
    try:
        with _hydra():
            composed = compose(config_name=config_name, overrides=_for_hydra(overrides))
        merged = OmegaConf.merge(_schema(cls, composed), composed)
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException) as error:
        if isinstance(error.__cause__, IsoflopError):
            raise error.__cause__ from error
        raise UsageError(_one_line(error)) from error


def config_from_yaml(text: str, cls: type[T]) -> T:
    """A configuration that was composed before and kept as YAML, such as a sweep's sweep.yaml.

    Raises:  UsageError: text that is no such configuration, or of a release with other keys.
    """
    try:
        composed = OmegaConf.create(text)
        return OmegaConf.to_object(OmegaConf.merge(_schema(cls, composed), composed))  # type: ignore[return-value]
    except (OmegaConfBaseException, ValueError, YAMLError) as error:
        if isinstance(error.__cause__, IsoflopError):
            raise error.__cause__ from error
        raise UsageError(f"the stored configuration can't be read: {_one_line(error)}") from error


def config_as_yaml(config: Any) -> str:
    """A configuration dataclass as the YAML that `config_from_yaml` reads."""
    return as_yaml(dataclasses.asdict(config))


def as_yaml(content: dict[str, Any]) -> str:
    """Nested dictionaries and lists of plain values as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(content))


def config_text(config_name: str, overrides: list[str]) -> str:
    """The composed configuration as YAML, for --cfg."""
    with _hydra():
        composed = compose(config_name=config_name, overrides=_for_hydra(overrides))
    return OmegaConf.to_yaml(composed)


def expand_sweep(overrides: list[str]) -> list[list[str]]:
    """The product of comma-separated override values, as Hydra's own --multirun reads them."""
    choices = []
    for override in OverridesParser.create().parse_overrides(overrides):
        if override.is_sweep_override():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            choices.append([override.input_line or ""])
    return [list(combination) for combination in itertools.product(*choices)]


def front_door(
    prog: str,
    description: str,
    config_name: str,
    cls: type[T],
    main: Callable[[T, list[str]], int | None],
    argv: list[str] | None = None,
) -> None:
    """Run `main(config, overrides)` for a command line and exit with its status.

    A user's mistake prints one line on standard error and exits 2; Ctrl-C exits 130.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {prog}",
        description=description,
        epilog=_help_epilog(config_name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="configuration overrides")
    parser.add_argument("-m", "--multirun", action="store_true", help="run every a=1,2,3 choice")
    parser.add_argument("--cfg", action="store_true", help="print the composed configuration")
    parser.add_argument("--watch", action="store_true", help="same as watch=true, where supported")
    parser.add_argument("-v", "--verbose", action="store_true", help="log at DEBUG level")
    options = parser.parse_intermixed_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    overrides = options.overrides + (["watch=true"] if options.watch else [])
    try:
        if options.cfg:
            print(config_text(config_name, overrides), end="")
            return
        status = 0
        for chosen in _choices(overrides, options.multirun):
            status = max(status, main(load_config(config_name, chosen, cls), chosen) or 0)
    except IsoflopError as error:
        print(visible(f"{prog}: {error}"), file=sys.stderr)
        sys.exit(2)
    except (HydraException, OmegaConfBaseException) as error:
        print(visible(f"{prog}: {_one_line(error)}"), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{prog}: interrupted; run the same command again to continue", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    sys.exit(status)


def group_options(group: str) -> list[str]:
    """Names that a config group offers, in order."""
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))


def _choices(overrides: list[str], multirun: bool) -> list[list[str]]:
    return expand_sweep(overrides) if multirun else [overrides]


def _hydra() -> Any:
    GlobalHydra.instance().clear()
    return initialize_config_dir(config_dir=str(CONF_DIR), version_base="1.3", job_name="isoflop")


def _for_hydra(overrides: list[str]) -> list[str]:
    """Let dataclasses, not YAML files, say which keys exist: values are added or overridden.

    An explicit horizon on the command line replaces the preset's, since the two are alternatives.
    A preset may be a file of one's own.
    """
    overrides = [_known_preset(override) for override in overrides]
    explicit = any(re.match(r"horizon\.\w+=(?!null$)", override) for override in overrides)
    chosen = any(override.startswith("horizon=") for override in overrides)
    added = ["horizon=explicit"] if explicit and not chosen else []
    return [_forced(override) for override in overrides] + added


def _known_preset(override: str) -> str:
    """preset=FILE.yaml as the name under which Hydra then finds the file's content.

    Raises:  UsageError: a file that can't be read, or holds no group of keys.
    """
    key, _, value = override.partition("=")
    if key != "preset" or not value.endswith((".yaml", ".yml")):
        return override
    try:
        node = OmegaConf.load(value)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        reason = error.strerror if isinstance(error, OSError) else _one_line(error)
        raise UsageError(
            f"preset={value} can't be read ({reason}); expected a YAML file, or one of "
            f"{', '.join(group_options('preset'))}"
        ) from error
    if not isinstance(node, DictConfig):
        raise UsageError(f"preset={value} holds no keys; expected a preset as in conf/preset/")
    name = f"file-{hashlib.sha256(os.path.abspath(value).encode()).hexdigest()[:12]}"
    ConfigStore.instance().store(group="preset", name=name, node=node, package="_global_")
    return f"preset={name}"


def _forced(override: str) -> str:
    key = override.partition("=")[0]
    plain = re.fullmatch(r"[A-Za-z_][\w.]*", key) and "=" in override
    return f"++{override}" if plain and not (CONF_DIR / key).is_dir() else override


def _schema(cls: type, composed: Any) -> DictConfig:
    """A writable typed node for a frozen dataclass, shaped to take the composed values.

    OmegaConf makes nodes of frozen classes read-only, leaves required nested ones missing and
    creates entries of a `dict[str, Dataclass]` read-only; a merge needs all three undone.
    """
    node = OmegaConf.structured(cls)
    _make_writable(node)
    for name, hint in get_type_hints(cls).items():
        values = composed.get(name) if isinstance(composed, DictConfig) else None
        nested = _dataclass_of(hint)
        if nested and (values is not None or OmegaConf.is_missing(node, name)):
            node[name] = _schema(nested, values)
        element = _dataclass_of(get_args(hint)[1]) if get_origin(hint) is dict else None
        if element and isinstance(values, DictConfig):
            for key in values:
                node[name][key] = _schema(element, values[key])
    return node


def _dataclass_of(hint: Any) -> type | None:
    """The dataclass of a type hint `Dataclass` or `Dataclass | None`; None for any other hint."""
    for candidate in (hint, *get_args(hint)):
        if get_origin(hint) is not dict and dataclasses.is_dataclass(candidate):
            return candidate  # type: ignore[return-value]
    return None


def _make_writable(node: DictConfig) -> None:
    OmegaConf.set_readonly(node, False)
    for name in node:
        if not OmegaConf.is_missing(node, str(name)) and isinstance(node[name], DictConfig):
            _make_writable(node[name])


def _one_line(error: Exception) -> str:
    """Hydra's and OmegaConf's messages as one line: what, and what would be accepted."""
    text = str(error).strip().replace("'++", "'")
    missing = re.search(r"Could not find '([\w/]+?)/([^/']+)'", text)
    if missing:
        group, option = missing.groups()
        return f"{group}={option} is unknown; expected one of {', '.join(group_options(group))}"
    unknown = re.search(r"Could not override '([^']+)'", text) or re.search(
        r"Key '([^']+)' (?:is )?not in", text
    )
    if unknown:
        where = re.search(r"full_key: (\S+)", text)
        key = where.group(1) if where else unknown.group(1)
        return f"key {key!r} is unknown; --cfg prints every key with its value"
    first = [line.strip() for line in text.splitlines() if line.strip()]
    key = re.search(r"full_key: (\S+)", text)
    return f"{key.group(1)}: {first[0]}" if key else " ".join(first[:2])


def _help_epilog(config_name: str) -> str:
    text = (CONF_DIR / f"{config_name}.yaml").read_text(encoding="utf-8")
    comments = [line[1:].removeprefix(" ") for line in text.splitlines() if line.startswith("#")]
    groups = dict.fromkeys(re.findall(r"^\s*- (?:optional )?(\w+): ", text, flags=re.M))
    lines = [f"  {group:10} {', '.join(group_options(group))}" for group in groups]
    return "\n".join([*comments, "", "groups (group=option):", *lines])
