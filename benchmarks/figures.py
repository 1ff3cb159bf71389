"""A measured figure beside its goal, and the table of them that every benchmark ends with."""

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One figure; `value` is None where what it needs is not there, and `note` says what.

    That is no miss. Without a goal it is shown for orientation and can't miss.
    """

    what: str
    value: float | None
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def outcome(self) -> str:
        """met | MISSED | not measured | nothing where there is no goal."""
        if self.at_least is None and self.at_most is None:
            return ""
        if self.value is None:
            return "not measured"
        enough = self.at_least is None or self.value >= self.at_least
        return (
            "met" if enough and (self.at_most is None or self.value <= self.at_most) else "MISSED"
        )

    @property
    def goal(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g} {self.unit}".rstrip()
        return f"<= {self.at_most:g} {self.unit}".rstrip() if self.at_most is not None else ""

    @property
    def shown(self) -> str:
        return "-" if self.value is None else f"{self.value:.4g} {self.unit}".rstrip()


def table(figures: Sequence[Figure]) -> str:
    """Markdown rows of figure, goal and outcome."""
    rows = [("what", "figure", "goal", ""), ("---", "---", "---", "---")]
    for one in figures:
        outcome = ", ".join(part for part in (one.outcome, one.note) if part)
        rows.append((one.what, one.shown, one.goal, outcome))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def report(figures: Sequence[Figure], settings: dict[str, str]) -> int:
    """Print the table, write it to `json=PATH` where asked; 1 where a goal is missed, else 0."""
    print(table(figures), flush=True)
    if "json" in settings:
        Path(settings["json"]).write_text(json.dumps([asdict(one) for one in figures], indent=1))
    return int(any(one.outcome == "MISSED" for one in figures))


def read(path: Path) -> list[Figure]:
    """What `report` wrote."""
    return [Figure(**row) for row in json.loads(path.read_text())]


def parse(arguments: Iterable[str], doc: str | None, known: Sequence[str]) -> dict[str, str]:
    """key=value arguments of a benchmark; --help prints its docstring, an unknown key ends it."""
    settings: dict[str, str] = {}
    for argument in arguments:
        if argument in ("-h", "--help"):
            print(doc)
            sys.exit(0)
        key, equals, value = argument.partition("=")
        if not equals or key not in (*known, "json"):
            sys.exit(
                f"{argument} is unknown; expected key=value with {', '.join((*known, 'json'))}"
            )
        settings[key] = value
    return settings


def machine() -> str:
    """CPU, cores and versions in one line."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return (
        f"{model} ({' '.join(wide)}), {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )
