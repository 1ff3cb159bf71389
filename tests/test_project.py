"""The files by which a project is joined: workflows, hooks, templates, versions, dependencies."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import isoflop

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.M))


def check_command(line: str) -> None:
    """A workflow runs nothing of its own: a script of the repository, or targets of make."""
    program, *words = line.split()
    if program == "bash":
        assert (ROOT / words[0]).is_file(), f"{line!r}: there is no {words[0]}"
    else:
        assert program == "make", f"{line!r}: put it into .ci/run or the Makefile"
        assert {*words} <= targets(), f"{line!r}: the Makefile has no such target"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_parses_and_runs_commands_that_exist(path):
    workflow = yaml.safe_load(path.read_text())
    assert {"push", "pull_request"} <= {*workflow["on"]}
    # Least rights, and no job that hangs for GitHub's six hours.
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90
        commands = [step["run"] for step in job["steps"] if "run" in step]
        assert commands
        for line in "\n".join(commands).splitlines():
            check_command(line)
        for step in job["steps"]:
            assert "run" in step or re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


@pytest.mark.parametrize("line", ["make gold", "bash .ci/nothing", "pip install torch"])
def test_a_command_that_does_not_exist_is_noticed(line):
    with pytest.raises(AssertionError, match=re.escape(line)):
        check_command(line)


def test_continuous_integration_covers_every_python_that_is_promised():
    tests = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["tests"]
    assert PROJECT["project"]["requires-python"] == ">=" + tests["strategy"]["matrix"]["python"][0]
    assert tests["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    # What the Makefile builds its environment with.
    assert tests["env"]["PYTHON"] == "python${{ matrix.python }}"
    assert "PYTHON ?= " in (ROOT / "Makefile").read_text()
    everything = [*targets(), "sudo"]
    for line in re.findall(r"^\s*(make .*)$", (ROOT / ".ci/run").read_text(), flags=re.M):
        assert {*line.split()[1:]} <= {*everything}, line


def test_hooks_are_the_tools_of_the_projects_own_environment():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    entries = {hook["id"]: hook["entry"].split() for hook in repository["hooks"]}
    assert {*entries} == {"ruff-check", "ruff-format", "pyright"}
    pinned = (ROOT / "constraints.txt").read_text()
    lint = re.search(r"^lint: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    assert lint is not None
    for program, *_ in entries.values():
        name = program.removeprefix(".venv/bin/")
        assert f"\n{name}==" in pinned
        assert f"$(BIN)/{name}" in lint[1]
    (pyright,) = (hook for hook in repository["hooks"] if hook["id"] == "pyright")
    assert re.findall(r"[a-z]+", pyright["files"]) == PROJECT["tool"]["pyright"]["include"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_issue_forms_have_what_github_demands(path):
    form = yaml.safe_load(path.read_text())
    if path.name == "config.yml":
        assert form == {"blank_issues_enabled": True}
        return
    assert form["name"] and form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len({*ids}) == len(ids) > 0
    for field in form["body"]:
        assert field["type"] == "textarea" and field["attributes"]["label"]


def test_every_dependency_is_pinned():
    wanted = [*PROJECT["project"]["dependencies"]]
    for group in PROJECT["dependency-groups"].values():
        wanted += group
    names = {re.split(r"[\[>=]", text)[0].lower() for text in wanted}
    lines = (ROOT / "constraints.txt").read_text().split()
    pinned = [line.split("==")[0].lower().replace("_", "-") for line in lines]
    assert len({*pinned}) == len(pinned)
    assert names <= {*pinned}
    # The Makefile installs this very pip, which has to know groups.
    assert (
        f" {next(line for line in lines if line.startswith('pip=='))} "
        in (ROOT / "Makefile").read_text()
    )


def test_version_and_date_are_those_of_the_newest_entry_of_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)$", changelog, flags=re.M)
    assert len(versions) == changelog.count("\n## ")
    assert versions == sorted(versions, key=lambda row: row[1], reverse=True)
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert versions[0] == (isoflop.__version__, str(cited["date-released"]))
