"""Every shell command in README.md and docs/ is checked here, or says that it is not run here.

A command of ours must compose into a valid configuration under today's keys, and a
sweep's plan must be made of it; `make` needs its target; a few cheap ones are really run. Any other
command carries a visible mark: a comment with the words `not run here`, behind it or on a line of
its own ahead of the commands of its block. Words in capitals and `...` are placeholders.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import analysis.__main__
import analysis.allocate
import analysis.curves
import analysis.optima
import analysis.predict
import eval.__main__
import isoflop.push
import sweeps.__main__
import train.__main__
from isoflop.__main__ import COMMANDS as FRONT
from sweeps.plan.plan import make_plan
from sweeps.spec.config import SweepConfig
from sweeps.spec.preset import preset_text
from tests.support.documented import MARK, commands
from tests.support.published import published_table
from train.commands.command_line import Command as CommandLine
from train.commands.command_line import translate
from train.config.cli import expand_sweep, load_config
from train.config.resolve import DataInfo
from train.rundir.starting_point import StartError

ROOT = Path(__file__).resolve().parent.parent
# Typed as they stand by tests of their own.
TYPED = ("extend.md", "tutorial.md")
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name not in TYPED),
]
LINES = {
    package.COMMAND.module: package.COMMAND
    for package in (
        train.__main__,
        sweeps.__main__,
        eval.__main__,
        analysis.__main__,
        analysis.curves,
        analysis.allocate,
        analysis.optima,
        analysis.predict,
        isoflop.push,
    )
}
FACTS = DataInfo("f" * 16, 257, {})


COMMANDS = [command for page in PAGES for command in commands(page)]


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    """Plans look up the size of no real data: shards of the standard library take seconds."""

    def facts(data, seq_len):
        return DataInfo(FACTS.fingerprint, 257, dict.fromkeys(data.parts, 10**14))

    monkeypatch.setattr("sweeps.plan.data_info.describe", facts)


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z-]*):", text, flags=re.M))


def line_of(words: list[str]) -> tuple[CommandLine, list[str]] | None:
    """The command that a line calls, and its words: `isoflop sweep ...`, `python -m sweeps ...`."""
    program = words[0].removeprefix(".venv/bin/")
    if program == "isoflop" and words[1] in FRONT:
        module = FRONT[words[1]][0].removesuffix(".__main__")
        return (LINES[module], words[2:]) if module in LINES else None
    if program in ("python", "python3") and words[1:2] == ["-m"] and words[2] in LINES:
        return LINES[words[2]], words[3:]
    return None


def compose(command: CommandLine, arguments: list[str]) -> list:
    """The configurations that a command makes of its arguments, in today's spelling."""
    translated = translate(command, [word for word in arguments if not word.startswith("-")])
    assert not translated.notices
    # The speed of this machine is nothing to check here.
    overrides = translated.overrides + ["calibrate=false"] * (command.name == "sweep")
    several = expand_sweep(overrides) if "-m" in arguments else [overrides]
    return [load_config(command.config_name, chosen, command.config) for chosen in several]


def write_presets(words: list[str]) -> None:
    """The preset files that a command reads, as another command would have written them."""
    for word in words:
        if word.startswith("preset=") and word.endswith(".yaml"):
            path = Path(word.removeprefix("preset="))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(preset_text(load_config("sweep", [], SweepConfig), []))


def check(words: list[str]) -> bool:
    """Whether a command could be checked; an invalid one raises."""
    line = line_of(words)
    if line is not None:
        command, arguments = line
        for config in compose(command, arguments):
            planned = command.name == "sweep" and config.action in ("plan", "launch")
            if planned and config.sweep.grids and not config.validates:
                assert make_plan(config.settled()).runs
        return True
    program = words[0].removeprefix(".venv/bin/")
    if program == "isoflop":
        assert words[1] in FRONT, f"isoflop has no command {words[1]}"
        return words[1:] == ["demo"]
    if program == "make":
        missing = [w for w in words[1:] if "=" not in w and w not in make_targets()]
        assert not missing, f"Makefile has no target {missing}"
        return True
    if program in ("python", "python3") and words[1:2] == ["-m"]:
        assert exists(words[2]), f"there is no module {words[2]}"
    return False


def exists(module: str) -> bool:
    path = ROOT / Path(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_pages_have_commands():
    assert len(COMMANDS) > 30
    assert {"README.md", "recipes.md", "cluster.md"} <= {command.page for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_is_checked_or_marked(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_presets(command.words)
    try:
        checked = check(command.words)
    except StartError:  # composed; the runs that it starts from are another command's
        checked = False
    assert checked or command.marked, (
        f"{command}: {command.text!r} is neither checked by this test nor marked; add the comment "
        f"'# {MARK}: WHY' behind it, or ahead of its block's commands"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_named_in_the_text_exist(page):
    text = page.read_text(encoding="utf-8")
    for module in re.findall(r"`[^`]*python -m ([\w.]+)", text):
        assert exists(module), f"there is no module {module}"
    for command in re.findall(r"`isoflop ([a-z-]+)", text):
        assert command in FRONT, f"isoflop has no command {command}"
    for target in re.findall(r"`make ([a-z-]+)`", text):
        assert target in make_targets()


@pytest.mark.parametrize(
    ("text", "n_found", "marked"),
    [
        ("```\nmake demo\n```\n", 1, False),
        ("```\n# not run here: no GPU\nmake demo\nmake test\n```\n", 2, True),
        ("    python -m train \\\n        seed=1   # not run here\n", 1, True),
        ("```python\nimport train\n```\n", 0, False),
        ("```\nresults/\n  runs.parquet\n```\n", 0, False),
        ("```\n# not run here\n```\n\n    make test\n", 1, False),
    ],
)
def test_commands_are_found_with_their_marks(tmp_path, text, n_found, marked):
    page = tmp_path / "page.md"
    page.write_text(text)
    found = commands(page)
    assert len(found) == n_found
    assert all(command.marked == marked for command in found)


def test_a_command_with_an_unknown_key_or_target_is_noticed():
    from train.config.cli import UsageError

    with pytest.raises(UsageError):
        check(shlex.split("isoflop sweep launch phlogiston=1"))
    with pytest.raises(AssertionError):
        check(shlex.split("python -m sweeps action=plan"))
    with pytest.raises(AssertionError):
        check(shlex.split("isoflop transmute lead"))
    with pytest.raises(AssertionError):
        check(shlex.split("make gold"))
    assert not check(shlex.split("rsync -a a b"))


@pytest.mark.slow
def test_the_readmes_published_numbers_are_what_the_command_prints(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pattern = r"\$ isoflop (analyze \S+ fit=besiroglu)\n(.*?)```"
    shown = re.search(pattern, readme, flags=re.S)
    assert shown is not None
    published_table("hoffmann2022")
    answer = subprocess.run(
        [sys.executable, "-m", "isoflop", *shown[1].split(), f"out={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = [line.split() for line in answer.stdout.splitlines()]
    for line in shown[2].splitlines():
        wanted = line.replace("...", "").split()
        assert any(words[: len(wanted)] == wanted for words in printed), line


def test_the_cheap_commands_of_the_docs_run_on_a_simulated_demo(tmp_path, monkeypatch, capsys):
    from analysis.__main__ import analyse

    monkeypatch.chdir(tmp_path)

    def sweep(*arguments: str) -> None:
        (config,) = compose(LINES["sweeps"], list(arguments))
        assert sweeps.__main__.main(config, translate(LINES["sweeps"], arguments).overrides) == 0

    drawn = ["preset=demo", "launcher=simulate", "sweep.surface=besiroglu"]
    sweep("launch", "results/demo", *drawn)
    ran = set()
    for command in COMMANDS:
        line = line_of(command.words)
        if line is not None and line[0].name == "sweep" and not command.marked:
            verb = line[1][0]
            if verb == "plan" and {"preset=demo", "results/demo"} & {*line[1]}:
                sweep(*line[1])
                ran.add(verb)
    assert ran == {"plan"}
    (config,) = compose(LINES["analysis"], ["results/demo", "fit.n_resamples=100"])
    assert analyse(config, "command").name == "report.html"
    assert "34 runs fitted" in capsys.readouterr().out
