"""One self-contained HTML file from sections, and its figures as SVG and PNG beside it."""

import functools
import io
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jinja2
import matplotlib as mpl
from markupsafe import Markup, escape

from analysis.section import FigureSpec, Part, Section, TableSpec
from analysis.style import FAINT, INK
from train.record import write_atomic

PACKAGES = ("isoflop", "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "torch", "transformers")


@dataclass(frozen=True)
class Report:
    """What the page says: the decision first, then what qualifies it, then the parts."""

    title: str
    decision: str
    caveats: Sequence[str]
    facts: Sequence[tuple[str, str]]
    parts: Sequence[Part]
    command: str

    @property
    def sections(self) -> list[Section]:
        return [section for part in self.parts for section in part.sections]


def render(report: Report) -> str:
    """The report as HTML; every string of it is escaped, figures are inlined as SVG."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline_svg"] = _inline
    environment.filters["anchor"] = _anchor
    environment.filters["typeset"] = _typeset
    environment.filters["numeric_columns"] = _numeric_columns
    template = environment.get_template("report.html.j2")
    return template.render(report=report, versions=versions())


def write_report(report: Report, directory: Path) -> Path:
    """Write report.html and every figure into a directory; the path of the page.

    Raises:  RecordError: the directory can't be written.
    """
    for section in report.sections:
        for spec in section.figures:
            write_atomic(directory / "figures" / f"{spec.name}.svg", svg(spec))
            write_atomic(directory / "figures" / f"{spec.name}.png", png(spec))
    path = directory / "report.html"
    write_atomic(path, render(report))
    return path


@functools.cache
def svg(spec: FigureSpec) -> str:
    """The figure as SVG; the same figure gives the same bytes."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": spec.name, "svg.fonttype": "path"}):
        spec.figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="none")
    return buffer.getvalue()


def png(spec: FigureSpec) -> bytes:
    buffer = io.BytesIO()
    spec.figure.savefig(buffer, format="png", dpi=160, facecolor="white")
    return buffer.getvalue()


def versions() -> list[tuple[str, str]]:
    """Python's and the main packages' versions; a package that is absent is named as such."""
    found = [("python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    return found


def _inline(spec: FigureSpec) -> Markup:
    """An SVG element for the page: scales with it, follows its colours, and speaks its alt text."""
    text = svg(spec)
    text = text[text.index("<svg") :]
    head, body = text.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = body.replace(INK, "currentColor").replace(FAINT, "var(--faint)")
    label = Markup("{}").format(spec.alt)
    return Markup(f'{head} role="img" aria-label="{label}">{body}')


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


_TYPESET = (
    (re.compile(r"(?<![\w.])1e(\d{1,3})(?![\w.]\w)"), r"10<sup>\1</sup>"),
    (re.compile(r"(?<![\w.])(\d(?:\.\d+)?)e(-?\d{1,3})(?![\w.]\w)"), r"\1 × 10<sup>\2</sup>"),
    (re.compile(r"\^\(([^()]+)\)"), r"<sup>\1</sup>"),
    (re.compile(r"\^(alpha_[ND]|alpha|beta|gamma|[A-Z]\b|-?[\d.]*\d)"), r"<sup>\1</sup>"),
    (re.compile(r"\b([NDCx])_(opt|c)\b"), r"\1<sub>\2</sub>"),
    (re.compile(r"\balpha(?=\b|_)"), "α"),
    (re.compile(r"\bbeta\b"), "β"),
    (re.compile(r"α_([ND])\b"), r"α<sub>\1</sub>"),
)
"""Plain-text mathematics and its HTML, applied to text that is escaped already."""


def _typeset(text: str) -> Markup:
    """Plain text with 1.2e9, N_opt, C^0.5 and alpha set as mathematics; everything else escaped."""
    html = str(escape(text))
    for pattern, replacement in _TYPESET:
        html = pattern.sub(replacement, html)
    return Markup(html)


_NUMBER = re.compile(r"[-+]?[\d.,]+(e-?\d+)?( ?[%kMBTx*])*|–|")


def _numeric_columns(table: TableSpec) -> list[bool]:
    """Which columns hold nothing but numbers, and are therefore set flush right."""
    columns = zip(*table.rows, strict=True) if table.rows else []
    flags = [all(_NUMBER.fullmatch(cell) for cell in column) for column in columns]
    return flags or [False] * len(table.columns)
