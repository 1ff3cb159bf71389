"""A chapter of the report: what a builder of sections gets, and what it gives back.

`contents` lists the builders; a question's section module may hold its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.config import AnalysisConfig
from analysis.data.loss_table import LossTable
from analysis.report.document import Section
from analysis.report.run_table import RunTable
from analysis.studies.allocation import AllocationRow
from analysis.studies.study import Study


@dataclass(frozen=True)
class ReportInputs:
    """All that a builder may draw on: what was asked for, every run read, the fits, the advice.

    `everything` holds the runs before the fit's own selection, `book` what the page tells of each.
    """

    config: AnalysisConfig
    everything: LossTable
    study: Study
    advice: list[AllocationRow]
    book: RunTable


@dataclass(frozen=True)
class Chapter:
    """What one result gives: sections, JSON content by file name, lines for the terminal, and what
    fits.json says of it.
    """

    sections: Sequence[Section] = ()
    files: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)


Builder = Callable[[ReportInputs], Chapter]
