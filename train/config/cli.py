"""The only user of Hydra and OmegaConf: overrides in, checked dataclasses out."""

import dataclasses
import hashlib
import itertools
import logging
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from train.config.decode import decode
from train.config.keys import UsageError, check_key
from train.config.rules.fitted import with_fitted_rules

CONF_DIR = Path(str(resources.files("train"))).resolve().parent / "conf"
"""Beside the packages, in a checkout and in a wheel alike; `files("conf")` would find a user's own
conf/ in the working directory, which users of Hydra often have."""

SEVERAL = ("tracker",)
"""Groups of which several options can be chosen, as GROUP=[A,B]; GROUP.kind then has them all."""

log = logging.getLogger(__name__)

T = TypeVar("T")


def load_config(config_name: str, overrides: list[str], cls: type[T]) -> T:
    """Compose `conf/<config_name>.yaml` with overrides into an instance of a frozen dataclass.

    Raises:  UsageError: unknown key, group option or type; IsoflopError: the class's own checks.
    """
    return decode(cls, with_fitted_rules(composed_values(config_name, overrides, cls)))


def composed_values(config_name: str, overrides: list[str], cls: type) -> dict[str, Any]:
    """Every value that conf/NAME.yaml and overrides set, as nested dictionaries of plain values.

    Raises:  UsageError: a key that the dataclass has not, a group's option that is not there, or
             words that do not follow the grammar of overrides.
    """
    groups = config_groups(config_name)
    for word in overrides:
        match = re.match(r"[+~]{0,2}([A-Za-z_][\w.]*)(?==|$)", word)
        if match and match[1] in groups:
            _check_option(match[1], word.partition("=")[2])
        elif match:
            check_key(cls, match[1])
    try:
        return _plain_values(_composed(config_name, overrides))
    except (HydraException, OmegaConfBaseException) as error:
        log.debug("composing %s", overrides, exc_info=True)
        raise UsageError(_in_our_words(error, overrides)) from error


def config_from_yaml(text: str, cls: type[T]) -> T:
    """A configuration that was composed before and kept as YAML, such as a sweep's sweep.yaml.

    Raises:  UsageError: text that is no such configuration, or of a release with other keys.
    """
    try:
        values = _plain_values(OmegaConf.create(text))
    except (OmegaConfBaseException, ValueError, YAMLError) as error:
        raise UsageError(
            f"the stored configuration is not readable YAML: {_first_line(error)}"
        ) from error
    try:
        return decode(cls, values)
    except UsageError as error:
        raise UsageError(f"the stored configuration can't be read: {error}") from error


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
    wrong = [word for word in overrides if not _follows_the_grammar(word)]
    if wrong:
        raise UsageError(f"{wrong[0]!r} can't be read; expected KEY=VALUE or KEY=A,B,C")
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


def _check_option(group: str, option: str) -> None:
    """Check that a group is given a name, which Hydra takes for granted.

    Raises:  UsageError: it is given values instead.
    """
    if option[:1] == "{" or (option[:1] == "[" and group not in SEVERAL):
        raise UsageError(
            f"{group}={option}: {group} is a group; choose one of "
            f"{', '.join(group_options(group))}, and set its values one by one: {group}.KEY=VALUE"
        )


def _for_hydra(overrides: list[str]) -> list[str]:
    """Let dataclasses, not YAML files, say which keys exist: values are added or overridden.

    An explicit horizon on the command line replaces the preset's, since the two are alternatives.
    A preset may be a file of one's own.
    """
    overrides = [_known_preset(override) for override in overrides]
    overrides = [word for override in overrides for word in _one_option(override)]
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
        reason = error.strerror if isinstance(error, OSError) else _first_line(error)
        raise UsageError(
            f"preset={value} can't be read ({reason}); expected a YAML file, or one of "
            f"{', '.join(group_options('preset'))}"
        ) from error
    if not isinstance(node, DictConfig):
        raise UsageError(f"preset={value} holds no keys; expected a preset as in conf/preset/")
    name = f"file-{hashlib.sha256(os.path.abspath(value).encode()).hexdigest()[:12]}"
    ConfigStore.instance().store(group="preset", name=name, node=node, package="_global_")
    return f"preset={name}"


def _one_option(override: str) -> list[str]:
    """GROUP=[A,B] as the first option's file, and the list of all of them as GROUP.kind."""
    listed = re.fullmatch(rf"({'|'.join(SEVERAL)})=\[([\w, ]+)\]", override)
    if not listed:
        return [override]
    names = [name.strip() for name in listed[2].split(",")]
    for name in names:
        if name not in group_options(listed[1]):
            raise UsageError(
                f"{listed[1]}={name} is unknown; expected some of "
                f"{', '.join(group_options(listed[1]))}"
            )
    return [f"{listed[1]}={names[0]}", f"{listed[1]}.kind=[{','.join(names)}]"]


def _forced(override: str) -> str:
    key = override.partition("=")[0]
    plain = re.fullmatch(r"[A-Za-z_][\w.]*", key) and "=" in override
    return f"++{override}" if plain and not (CONF_DIR / key).is_dir() else override


def _plain_values(composed: Any) -> dict[str, Any]:
    values = OmegaConf.to_container(composed, resolve=True)
    if not isinstance(values, dict):
        raise UsageError("the configuration holds no keys; expected groups of KEY: VALUE")
    return {str(key): value for key, value in values.items()}


def _in_our_words(error: Exception, overrides: list[str]) -> str:
    """What a user has to know of an error of Hydra or OmegaConf; --verbose logs the rest."""
    text = str(error).replace("'++", "'")
    missing = re.search(r"Could not find '([\w/]+?)/([^/']+)'", text)
    if missing:
        group, option = missing.groups()
        return f"{group}={option} is unknown; expected one of {', '.join(group_options(group))}"
    reference = re.search(r"Interpolation key '([^']+)' not found", text)
    if reference:
        return f"${{{reference[1]}}} refers to a key that is not set; write its value"
    wrong = [word for word in overrides if not _follows_the_grammar(word)]
    if wrong:
        return (
            f"{wrong[0]!r} can't be read; expected KEY=VALUE, KEY=[A,B] or KEY={{A: 1}}, quoted "
            f"against the shell, and a text with other signs in quotes of its own: KEY='\"a, b\"'"
        )
    several = [word for word in overrides if _is_choice(word)]
    if several:
        return (
            f"{several[0]!r} names several values; give one, a list as KEY=[A,B], or add "
            f"--multirun to run each"
        )
    return (
        f"{' '.join(overrides)} can't be combined; a group is chosen as GROUP=OPTION and a single "
        f"value as GROUP.KEY=VALUE: --help lists groups, --cfg keys, --verbose says what failed"
    )


def _follows_the_grammar(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True


def _is_choice(word: str) -> bool:
    return OverridesParser.create().parse_override(word).is_sweep_override()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def help_epilog(config_name: str) -> str:
    """The comments of conf/NAME.yaml and the options of its groups, for --help."""
    text = (CONF_DIR / f"{config_name}.yaml").read_text(encoding="utf-8")
    comments = [line[1:].removeprefix(" ") for line in text.splitlines() if line.startswith("#")]
    groups = sorted(config_groups(config_name))
    lines = [f"  {group:10} {', '.join(group_options(group))}" for group in groups]
    return "\n".join([*comments, "", "groups (group=option):", *lines])
