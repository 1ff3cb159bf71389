"""What a shell is offered behind `isoflop`, asked as argcomplete's shell function asks."""

import os
import subprocess
import sys

import pytest


@pytest.fixture(autouse=True)
def argcomplete():
    return pytest.importorskip("argcomplete", reason="pip install argcomplete")


def offered(line: str, directory) -> list[str]:
    """The words offered at the end of a command line typed in a directory."""
    environment = {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line,
        "COMP_POINT": str(len(line)), "COMP_TYPE": "9", "_ARGCOMPLETE_STDOUT_FILENAME": "answer",
    }  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "isoflop"],
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=directory,
        check=False,
        capture_output=True,
    )
    return [word.strip() for word in (directory / "answer").read_text().split("\n")]


@pytest.mark.parametrize(
    ("line", "expected", "absent"),
    [
        ("isoflop sw", ["sweep"], ["train"]),
        ("isoflop sweep sta", ["status"], ["launch", "status.txt"]),
        ("isoflop sweep status res", ["results/"], ["retry"]),
        ("isoflop analyze fit.del", ["fit.delta="], []),
        ("isoflop demo res", ["results/"], []),
    ],
)
def test_verbs_directories_and_settings_are_offered(line, expected, absent, tmp_path):
    (tmp_path / "results").mkdir()
    words = offered(line, tmp_path)
    assert set(expected) <= set(words)
    assert not set(absent) & set(words)
