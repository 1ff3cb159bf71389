"""docs/settings.md from the dataclasses: `python -m isoflop.settings > docs/settings.md`."""

import dataclasses
import inspect
from collections.abc import Iterator
from typing import get_type_hints

import analysis.__main__
import eval.__main__
import isoflop.push
import sweeps.__main__
import train.__main__
from train.commands.command_line import Command
from train.commands.settings import Setting, settings
from train.config.cli import config_groups, group_options
from train.config.keys import nested_class

COMMANDS = (
    train.__main__.COMMAND,
    sweeps.__main__.COMMAND,
    eval.__main__.COMMAND,
    analysis.__main__.COMMAND,
    isoflop.push.COMMAND,
)

HEAD = """# Settings

Every setting of every command with its type and default, written from the dataclasses that hold
them by `python -m isoflop.settings > docs/settings.md`. A setting is given as `KEY=VALUE` behind
the command; NAME in a key is a name of your own. `--cfg` behind a command prints the values that it
would run with. A group is chosen as `GROUP=OPTION`, from `conf/`.
"""


def page() -> str:
    """The Markdown of docs/settings.md."""
    described: set[type] = set()
    parts = [HEAD]
    for command in COMMANDS:
        parts += _command(command, described)
    return "\n".join(parts)


def _command(command: Command, described: set[type]) -> Iterator[str]:
    yield f"## isoflop {command.name}\n"
    yield f"{command.description}\n"
    groups = sorted(config_groups(command.config_name))
    yield "".join(f"- `{group}=` {', '.join(group_options(group))}\n" for group in groups)
    rows = settings(command.config_name, command.config, [])
    hints = get_type_hints(command.config)
    own = [row for row in rows if "." not in row.key]
    if own:
        yield _table(own, command.config)
    shared = []
    for field in dataclasses.fields(command.config):
        cls = nested_class(hints[field.name])
        if cls is None:
            continue
        if cls in described:
            shared.append(field.name)
            continue
        described.add(cls)
        yield f"### {field.name}\n"
        yield _table([row for row in rows if row.key.startswith(f"{field.name}.")], cls)
    if shared:
        names = ", ".join(f"`{name}`" for name in shared)
        yield f"{names}: as above; its `--cfg` shows this command's defaults.\n"


def _table(rows: list[Setting], cls: type) -> str:
    text = inspect.cleandoc(cls.__doc__ or "").partition("\n\nExample:")[0]
    lines = ["| key | type | default |", "|---|---|---|"]
    lines += [f"| `{row.key}` | {row.type} | `{_cell(row.default)}` |" for row in rows]
    return f"{text}\n\n" + "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
