"""Plain text as HTML: mathematics set as such, anchors from titles, numbers told from words."""

import re

from markupsafe import Markup, escape

from analysis.report.document import TableSpec

_TYPESET = (
    (re.compile(r"(?<![\w.])1e(\d{1,3})(?![\w.]\w)"), r"10<sup>\1</sup>"),
    (re.compile(r"(?<![\w.])(\d(?:\.\d+)?)e(-?\d{1,3})(?![\w.]\w)"), r"\1 × 10<sup>\2</sup>"),
    (re.compile(r"\^\(([^()]+)\)"), r"<sup>\1</sup>"),
    (re.compile(r"\^(alpha_[ND]|alpha|beta|gamma|-?[A-Za-z]\b|-?[\d.]*\d)"), r"<sup>\1</sup>"),
    (re.compile(r"\b([NDCx])_(opt|c)\b"), r"\1<sub>\2</sub>"),
    (re.compile(r"\balpha(?=\b|_)"), "α"),
    (re.compile(r"\bbeta\b"), "β"),
    (re.compile(r"α_([ND])\b"), r"α<sub>\1</sub>"),
)
"""Plain-text mathematics and its HTML, applied to text that is escaped already."""

_NUMBER = re.compile(r"[-+]?[\d.,]+(e-?\d+)?( ?[%kMBTx*])*|–|")


def typeset(text: str) -> Markup:
    """Plain text with 1.2e9, N_opt, C^0.5 and alpha set as mathematics; everything else escaped."""
    html = str(escape(text))
    for pattern, replacement in _TYPESET:
        html = pattern.sub(replacement, html)
    return Markup(html)


def anchor(title: str) -> str:
    """A title as the id of its heading."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def numeric_columns(table: TableSpec) -> list[bool]:
    """Which columns hold nothing but numbers, and are therefore set flush right."""
    columns = zip(*table.rows, strict=True) if table.rows else []
    flags = [all(_NUMBER.fullmatch(cell) for cell in column) for column in columns]
    return flags or [False] * len(table.columns)
