"""The report as Markdown, for pull requests: the same words and tables, figures by link."""

import html
import re
from collections.abc import Sequence

from analysis.report.document import Section, TableSpec
from analysis.report.report import Report, versions

MOST_ROWS = 40
"""Rows of a table that a pull request shows; the page has the rest."""


def markdown(report: Report) -> str:
    """The report in GitHub's Markdown; figures are those in figures/, beside the file."""
    lines = [f"# {_text(report.title)}", "", f"**{_text(report.decision)}**", ""]
    if report.details:
        lines += [_text(" ".join(report.details)), ""]
    lines += _table(TableSpec("", *_facts(report)))
    if report.caveats:
        lines += ["Caveats:", "", *(f"- {_text(c)}" for c in report.caveats), ""]
    for part in report.parts:
        lines += [f"## {_text(part.title)}", ""]
        for section in part.sections:
            lines += _section(section)
    lines += ["## Provenance", ""]
    lines += [f"- {_text(name)}: {_text(value)}" for name, value in report.provenance]
    lines += ["- versions: " + ", ".join(f"{name} {number}" for name, number in versions())]
    lines += [f"- made by {_code(report.command)}", ""]
    return "\n".join(lines)


def _facts(report: Report) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    return [name for name, _ in report.facts], [[value for _, value in report.facts]]


def _section(section: Section) -> list[str]:
    lines = [f"### {_text(section.title)}", ""]
    for paragraph in section.paragraphs:
        lines += [_text(paragraph), ""]
    for spec in section.figures:
        lines += [f"![{_text(spec.alt)}](figures/{spec.name}.png)", "", _text(spec.caption), ""]
    for table in section.tables:
        lines += [f"**{_text(table.title)}**", "", *_table(table)]
    return lines


def _table(table: TableSpec) -> list[str]:
    shown = table.rows[:MOST_ROWS]
    lines = [_row([_text(column) for column in table.columns]), _row(["---"] * len(table.columns))]
    lines += [_row([_text(cell) for cell in row]) for row in shown]
    if len(shown) < len(table.rows):
        lines += ["", f"{len(shown)} of {len(table.rows):,} rows; report.html has the others."]
    return [*lines, ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


_SPECIAL = re.compile(r"([\\`*_\[\]|~#!])")


def _text(text: str) -> str:
    """Plain text whose every character GitHub shows as it is: no markup, link or mention."""
    line = " ".join(text.split())
    escaped = _SPECIAL.sub(r"\\\1", html.escape(line, quote=False))
    return escaped.replace("@", "&#64;")


def _code(text: str) -> str:
    """A code span, fenced by more backticks than the text has in a row."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    return f"{fence}{padding}{' '.join(text.split())}{padding}{fence}"
