"""One command line for all commands: words become a verb, paths and overrides of the configuration.

`isoflop COMMAND` and `python -m MODULE` run the same `Command`. A word KEY=VALUE overrides a
setting; any other word is the verb or a path. Spellings of earlier releases get one notice.
"""

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from rapidfuzz import process

from train.commands.processes import python_environment
from train.commands.settings import settings_text
from train.commands.terminal import say
from train.config.cli import (
    UsageError,
    expand_sweep,
    group_options,
    help_epilog,
    load_config,
)
from train.config.keys import has_key
from train.config.spec import IsoflopError

_OVERRIDE = re.compile(r"([+~]{0,2})([A-Za-z_][\w.@\[\]-]*)=(.*)|~[A-Za-z_][\w.@-]*", re.DOTALL)
_PLAIN = re.compile(r"[\w./:@%-]+")
"""Values that Hydra's grammar reads as one text without quotes."""

Old = Callable[[str, str | None], list[str]]
"""The words that now stand for an old key's value, given the verb."""


@dataclass(frozen=True)
class Verb:
    """What a verb does, in words, and the overrides that it stands for."""

    description: str
    overrides: tuple[str, ...]


def no_paths(paths: list[str], verb: str | None) -> list[str]:
    """The overrides of a command that takes no path.

    Raises:  UsageError: there is one.
    """
    if paths:
        raise UsageError(f"{paths[0]!r} is not KEY=VALUE; --help lists what can be set")
    return []


@dataclass(frozen=True)
class Command:
    """A command: its configuration, what runs on it, and what its words mean.

    Attributes:
        name: As typed behind `isoflop`; `module` as typed behind `python -m`.
        config_name: The file conf/NAME.yaml that its dataclass `config` is composed from.
        run: Called with the configuration and its overrides; returns the exit status.
        paths: The overrides that its path arguments stand for, given the verb.
        verbs: By name; empty for a command without verbs.
        default_verb: Taken, with a notice, where none is given, as earlier releases did.
        options: By group, the words that an option without a file in conf/ stands for, or none: a
            rule, source or task works once it is written, before conf/ has a file of its name.
        old: Keys of earlier releases, and the words that replace them.
        texts: Keys whose value may hold commas; elsewhere they separate the choices of --multirun.
        switches: Settings that are true or false and also an option, by key, with its help:
            --explain-speed is the same as explain_speed=true.
    """

    name: str
    module: str
    description: str
    config_name: str
    config: type
    run: Callable[[Any, list[str]], int | None]
    arguments: str = ""
    paths: Callable[[list[str], str | None], list[str]] = no_paths
    verbs: Mapping[str, Verb] = field(default_factory=dict)
    default_verb: str | None = None
    options: Mapping[str, Callable[[str], list[str]]] = field(default_factory=dict)
    old: Mapping[str, Old] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    switches: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Translated:
    """The overrides that a command line stands for, and what to tell its author."""

    overrides: list[str]
    notices: list[str]


def translate(command: Command, words: Sequence[str]) -> Translated:
    """The overrides of a command line's words (without its --options).

    Raises:  UsageError: no such verb, two verbs, or a path where none belongs.
    """
    verb, rest, notices = _verb(command, list(words))
    current: list[str] = []
    for word in rest:
        key, value = key_and_value(word)
        if key is not None and key in command.old:
            new = command.old[key](value, verb)
            if new != [word]:
                notices.append(f"{key}= is deprecated; write {' '.join(new)}")
            current += new
        elif key is not None and key in command.options and value not in group_options(key):
            current += command.options[key](value) or [word]
        else:
            current.append(word)
    paths = [word for word in current if not is_override(word)]
    for word in paths:
        if "." in word and has_key(command.config, word) and not os.path.exists(word):
            raise UsageError(f"{word} is a setting; write {word}=VALUE, or ./{word} for a path")
    chosen = {key_and_value(word)[0] for word in current}
    implied = command.verbs[verb].overrides if verb else ()
    overrides = [word for word in implied if key_and_value(word)[0] not in chosen]
    overrides += [_quoted(word, command.texts) for word in current if is_override(word)]
    return Translated([*overrides, *command.paths(paths, verb)], notices)


def is_override(word: str) -> bool:
    """Whether a word sets a key; other words are verbs and paths."""
    return _OVERRIDE.fullmatch(word) is not None


def key_and_value(word: str) -> tuple[str | None, str]:
    """Key and value of KEY=VALUE; (None, "") of any other word."""
    match = _OVERRIDE.fullmatch(word)
    return (match[2], match[3] or "") if match and match[2] else (None, "")


def text_override(key: str, value: str) -> str:
    """KEY=VALUE with the value quoted where Hydra would not read it as one text."""
    if _PLAIN.fullmatch(value):
        return f"{key}={value}"
    # In Hydra's grammar a backslash escapes a quote alone, so only those ahead of one are doubled.
    escaped = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + (m[2] and "\\'"), value)
    return f"{key}='{escaped}'"


def run_command(command: Command, argv: Sequence[str], prog: str) -> NoReturn:
    """Run a command line and exit with its status.

    A user's mistake prints one line on standard error and exits 2; Ctrl-C exits 130.
    """
    parser = command_parser(command, prog)
    options = parser.parse_intermixed_args(list(argv))
    if command.verbs and not options.words and not options.cfg:
        parser.print_help(sys.stderr)
        sys.exit(2)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    # Every process that we start, and sbatch which passes it on, finds the packages that run here.
    os.environ.update(python_environment(os.environ))
    try:
        status = _run(command, options, prog)
    except IsoflopError as error:
        say(f"{prog}: {error}", sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        say(f"{prog}: interrupted; run the same command again to continue", sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    sys.exit(status)


def _run(command: Command, options: argparse.Namespace, prog: str) -> int:
    translated = translate(command, options.words)
    for notice in translated.notices:
        say(f"{prog}: {notice}", sys.stderr)
    switched = [f"{key}=true" for key in command.switches if getattr(options, key)]
    overrides = translated.overrides + switched
    if options.cfg:
        print(settings_text(command.config_name, command.config, overrides), end="")
        return 0
    status = 0
    for chosen in expand_sweep(overrides) if options.multirun else [overrides]:
        config = load_config(command.config_name, chosen, command.config)
        status = max(status, command.run(config, chosen) or 0)
    return status


def command_parser(command: Command, prog: str) -> argparse.ArgumentParser:
    """The options of a command, with its verbs, settings and groups in the help."""
    verbs = [f"  {name:10} {verb.description}" for name, verb in command.verbs.items()]
    epilog = [*(["verbs:", *verbs, ""] if verbs else []), help_epilog(command.config_name)]
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} {command.arguments} [KEY=VALUE ...] [options]",
        description=command.description,
        epilog="\n".join(epilog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar=command.arguments or "KEY=VALUE")
    parser.add_argument("-m", "--multirun", action="store_true", help="run every a=1,2,3 choice")
    parser.add_argument(
        "--cfg", action="store_true", help="print every setting: value, type, default"
    )
    for key, meaning in command.switches.items():
        parser.add_argument(f"--{key.replace('_', '-')}", action="store_true", help=meaning)
    parser.add_argument("-v", "--verbose", action="store_true", help="log at DEBUG level")
    return parser


def _verb(command: Command, words: list[str]) -> tuple[str | None, list[str], list[str]]:
    """(verb, the other words, notices) of a command line.

    Raises:  UsageError: an unknown verb, or another one in action=.
    """
    if not command.verbs:
        return None, words, []
    actions = [word for word in words if key_and_value(word)[0] == "action"]
    rest = [word for word in words if word not in actions]
    first = next((word for word in rest if not is_override(word)), None)
    asked = [key_and_value(word)[1] for word in actions]
    if first is not None and first in command.verbs:
        rest.remove(first)
        asked.append(first)
    elif first is not None and not actions:
        raise UsageError(f"{first!r} is not a verb; {_expected(first, command.verbs)}")
    notices = [] if not actions else [f"{actions[0]} is deprecated; write {_shown(command, asked)}"]
    if not asked and command.default_verb is not None:
        asked = [command.default_verb]
        notices = [f"a call without a verb is deprecated; write {_shown(command, asked)}"]
    for verb in asked:
        if verb not in command.verbs:
            raise UsageError(f"action={verb} is unknown; {_expected(verb, command.verbs)}")
    if len(set(asked)) != 1:
        raise UsageError(f"got the verbs {' and '.join(asked)}; give one")
    return asked[0], rest, notices


def _shown(command: Command, asked: list[str]) -> str:
    return f"isoflop {command.name} {asked[-1]}"


def _expected(word: str, verbs: Mapping[str, Verb]) -> str:
    near = [name for name, score, _ in process.extract(word, list(verbs), limit=1) if score > 60]
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{meant}expected one of {', '.join(verbs)}"


def _quoted(word: str, texts: tuple[str, ...]) -> str:
    """A comma-separated value of a text setting as one text, not as choices of --multirun."""
    key, value = key_and_value(word)
    plain = key in texts and "," in value and value[0] not in "[{'\""
    return f"{key}='{value}'" if plain else word
