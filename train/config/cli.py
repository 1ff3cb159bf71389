"""The only user of Hydra and OmegaConf: overrides in, checked dataclasses out."""

import dataclasses
import hashlib
import itertools
import os
import re
from importlib import resources
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

CONF_DIR = Path(str(resources.files("train"))).resolve().parent / "conf"
"""Beside the packages, in a checkout and in a wheel alike; `files("conf")` would find a user's own
conf/ in the working directory, which users of Hydra often have."""

T = TypeVar("T")


class UsageError(IsoflopError):
    """A command line that does not compose into a valid configuration."""


def load_config(config_name: str, overrides: list[str], cls: type[T]) -> T:
    """Compose `conf/<config_name>.yaml` with overrides into an instance of a frozen dataclass.

    Raises:  UsageError: unknown key, group option or type; IsoflopError: the class's own checks.
    """
    try:
        composed = _composed(config_name, overrides)
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
    return OmegaConf.to_yaml(_composed(config_name, overrides))


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


def group_options(group: str) -> list[str]:
    """Names that a config group offers, in order."""
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))


def _composed(config_name: str, overrides: list[str]) -> DictConfig:
    """What Hydra makes of conf/NAME.yaml and overrides, and of the keys that it would misread.

    A key such as fit= of a sweep, which is a group of conf/ though not one of this configuration,
    would be taken as a choice of that group; its value is set after Hydra's work.
    """
    own = config_groups(config_name)
    others = {path.name for path in CONF_DIR.iterdir() if path.is_dir()} - own
    parsed = [(word, re.fullmatch(r"(\w+)=.*", word, re.DOTALL)) for word in overrides]
    misread = [word for word, key in parsed if key and key[1] in others]
    with _hydra():
        rest = [word for word in overrides if word not in misread]
        composed = compose(config_name=config_name, overrides=_for_hydra(rest))
    OmegaConf.set_struct(composed, False)
    for override in OverridesParser.create().parse_overrides(misread):
        composed[override.get_key_element()] = override.value()
    return composed


def config_groups(config_name: str) -> set[str]:
    """The groups of conf/ that a configuration chooses from; every one may take a horizon."""
    text = (CONF_DIR / f"{config_name}.yaml").read_text(encoding="utf-8")
    return set(re.findall(r"^\s*- (?:optional )?(\w+): ", text, flags=re.M))


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


def help_epilog(config_name: str) -> str:
    """The comments of conf/NAME.yaml and the options of its groups, for --help."""
    text = (CONF_DIR / f"{config_name}.yaml").read_text(encoding="utf-8")
    comments = [line[1:].removeprefix(" ") for line in text.splitlines() if line.startswith("#")]
    groups = sorted(config_groups(config_name))
    lines = [f"  {group:10} {', '.join(group_options(group))}" for group in groups]
    return "\n".join([*comments, "", "groups (group=option):", *lines])
