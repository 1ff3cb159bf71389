"""What a report is made of: titled sections of plain text, figures and tables.

Whoever has something to report returns a `Section`; `analysis.report.report` alone knows HTML.
Every string is plain text, escaped when rendered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from analysis.figures.figure_spec import FigureSpec


@dataclass(frozen=True)
class TableSpec:
    """A table of ready-to-print cells; numbers are formatted by whoever made them.

    A `sortable` one can be sorted, filtered and paged through by its reader; `run_ids` are the runs
    that its rows are about, one a row, for links.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    sortable: bool = False
    run_ids: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not all(self.columns):
            raise ValueError(f"table {self.title!r} has a column without a name: {self.columns}")


@dataclass(frozen=True)
class Section:
    """One part of the report, rendered in this order: title, paragraphs, figures, tables."""

    title: str
    paragraphs: list[str] = field(default_factory=list)
    figures: list[FigureSpec] = field(default_factory=list)
    tables: list[TableSpec] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """Sections under one heading of the report, such as Fits or Validation."""

    title: str
    sections: list[Section] = field(default_factory=list)
