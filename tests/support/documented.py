"""The shell commands that a page of the documentation shows, as tests read them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

MARK = "not run here"
PROGRAMS = (
    "isoflop", "python", "python3", "make", "accelerate", "torchrun", "bash", "sh", "sudo",
    "lm_eval", "export", "squeue", "sbatch", "rsync", "scp", "ssh", "tar", "cp",
    "mv", "git", "pip", "docker", "curl", "wget", "source", "cd", "wandb", "pytest", "apt-get",
)  # fmt: skip


@dataclass(frozen=True)
class Command:
    """One command as a page shows it, continuation lines joined, without `$` and comment."""

    page: str
    line: int
    text: str
    marked: bool

    @property
    def words(self) -> list[str]:
        filled = re.sub(r"\b[A-Z][A-Z_]{2,}\b", "placeholder", self.text)
        return [word for word in shlex.split(filled) if word != "..."]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def commands(path: Path) -> list[Command]:
    """The commands of a page's code blocks, fenced or indented, in order."""
    found: list[Command] = []
    fence, block_marked, pending = None, False, ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip().startswith("```"):
            fence = None if fence is not None else line.strip()[3:] or "text"
            block_marked = False
            continue
        if fence is None and not line.startswith("    "):
            block_marked = False
            continue
        if fence == "python":
            continue
        text = pending + line.strip().removeprefix("$ ")
        if text.startswith("#"):
            block_marked = block_marked or MARK in text
            continue
        if text.endswith("\\"):
            pending = text[:-1]
            continue
        pending = ""
        code, _, comment = text.partition("  # ") if "  # " in text else text.partition(" # ")
        if is_command(code):
            marked = block_marked or MARK in comment
            found.append(Command(path.name, number, code.strip(), marked))
    return found


def is_command(code: str) -> bool:
    """Whether a line of a block calls a program; other lines are output or listings."""
    words = [word for word in code.split() if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    if words[:1] == ["isoflop"]:  # an approach's name, too, in what an analysis prints
        return re.match(r"isoflop [a-z-]{2,}", code) is not None
    return bool(words) and (words[0] in PROGRAMS or words[0].startswith((".venv/bin/", "./")))
