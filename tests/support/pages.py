"""What documentation shows: fenced blocks, and the commands typed in them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("isoflop", "train", "sweeps", "eval", "analysis", "conf")


class Block(NamedTuple):
    """A fenced block: its heading (##), language, lines, and the line of text before it."""

    section: str
    language: str
    text: str
    intro: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found, section, intro = [], "", ""
    lines = iter(page.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith("```"):
            body = []
            for inner in lines:
                if inner.startswith("```"):
                    break
                body.append(inner + "\n")
            found.append(Block(section, line[3:].strip(), "".join(body), intro))
        elif line.startswith("## "):
            section = line[3:].strip()
        elif line.strip():
            intro = line
    return found


def copy_packages(place: Path) -> Path:
    """The packages, copied, so that a test may edit them."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def type_in(source: Path, command: str, place: Path) -> str:
    """What a command of `isoflop` printed, typed into a shell in `place`, run from `source`.

    Raises:  AssertionError: it ended with a status other than zero.
    """
    tools = place / ".tools"
    tools.mkdir(exist_ok=True)
    (tools / "isoflop").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m isoflop "$@"\n')
    (tools / "isoflop").chmod(0o755)
    answer = subprocess.run(
        ["bash", "-c", command],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(source), "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, f"{command}\n{answer.stdout}{answer.stderr}"
    return re.sub(r"\x1b\[[0-9;]*m", "", answer.stdout)
