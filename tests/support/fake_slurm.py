"""Stand-ins for Slurm's commands on a PATH: each is a shell script that a test writes.

Every call is noted, so that a test can say what was asked and how often.
"""

import os
from pathlib import Path

import pytest


class FakeSlurm:
    """A folder of commands ahead of the PATH; `asked` lists the arguments of every call."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, alone: bool = False) -> None:
        self.bin, self._asked = folder / "bin", folder / "asked"
        self.bin.mkdir(parents=True)
        path = str(self.bin) if alone else f"{self.bin}:{os.environ['PATH']}"
        monkeypatch.setenv("PATH", path)

    def put(self, name: str, script: str) -> None:
        """Install a command; `$CALL` counts its calls from 1."""
        log = self._asked / name
        log.parent.mkdir(exist_ok=True)
        head = f'#!/bin/sh\necho "$@" >> {log}\nCALL=0; while read -r _; do CALL=$((CALL + 1)); '
        head += f"done < {log}\n"
        (self.bin / name).write_text(f"{head}{script}\n")
        (self.bin / name).chmod(0o755)

    def asked(self, name: str) -> list[str]:
        log = self._asked / name
        return log.read_text().splitlines() if log.exists() else []
