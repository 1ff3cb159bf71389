"""A report as one HTML page that needs no network: styles, script, figures and data inside."""

import json
from collections.abc import Iterable
from importlib import resources
from typing import Any

from markupsafe import Markup

from analysis.figures.hover import link
from analysis.report.document import TableSpec
from analysis.report.page import page_environment
from analysis.report.report import Report, versions
from analysis.report.svg import Drawing, colour_variables, drawing
from analysis.report.typeset import anchor, numeric_columns

PAGE_ROWS = 50
"""Rows of a sortable table that are shown at a time, and without the script."""

_TEMPLATES = resources.files("analysis.report")


def render(report: Report) -> str:
    """The report as HTML; every string of it is escaped, figures are inlined as SVG."""
    environment = page_environment()
    tables = {
        id(table): f"table-{i}"
        for i, table in enumerate(t for section in report.sections for t in section.tables)
    }
    environment.filters.update(
        anchor=anchor,
        numeric_columns=numeric_columns,
        table_id=lambda table: tables[id(table)],
        run_anchor=_run_anchor,
    )
    drawings = {
        spec.name: drawing(spec.figure, spec.name, spec.alt)
        for section in report.sections
        for spec in section.figures
    }
    drawn = drawings.values()
    colours = frozenset[str]().union(*(d.colours for d in drawn))
    return environment.get_template("report.html.j2").render(
        report=report,
        drawings=drawings,
        glyphs={name: glyph for d in drawn for name, glyph in d.glyphs.items()}.values(),
        light=Markup(colour_variables(colours, dark=False)),
        dark=Markup(colour_variables(colours, dark=True)),
        style=Markup((_TEMPLATES / "report.css").read_text()),
        script=Markup((_TEMPLATES / "report.js").read_text()),
        data=island(_data(report, drawings, tables)),
        known={_run_anchor(run_id) for run_id in report.book.run_ids} if report.book else set(),
        page=PAGE_ROWS,
        versions=versions(),
    )


def island(content: Any) -> Markup:
    """JSON for a script element: nothing in it can end the element or start a comment."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _run_anchor(run_id: str) -> str:
    return link(run_id).removeprefix("#")


def _data(report: Report, drawings: dict[str, Drawing], tables: dict[int, str]) -> dict[str, Any]:
    """What the page's script reads: runs with their curves, points of figures, rows of tables."""
    book = report.book
    row_of = {run_id: row for row, run_id in enumerate(book.run_ids)} if book else {}
    return {
        "page": PAGE_ROWS,
        "runs": {
            "columns": book.columns if book else [],
            "ids": book.run_ids if book else [],
            "cells": book.cells if book else [],
            "curves": book.curves if book else {},
        },
        "figures": {name: _points(drawn, row_of) for name, drawn in drawings.items()},
        "tables": dict(_rows(report, tables)),
    }


def _points(drawn: Drawing, row_of: dict[str, int]) -> list[tuple[int, float, float]]:
    """Row of the run, x and y of each point whose run the page holds."""
    return [
        (row_of[mark.run_id], round(mark.x, 1), round(mark.y, 1))
        for mark in drawn.marks
        if mark.run_id in row_of
    ]


def _rows(report: Report, tables: dict[int, str]) -> Iterable[tuple[str, dict[str, Any]]]:
    found: list[TableSpec] = [t for section in report.sections for t in section.tables]
    for table in found:
        if table.sortable:
            yield tables[id(table)], {"cells": table.rows, "ids": table.run_ids}
