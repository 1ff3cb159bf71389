"""What a report says, before it is a page: the decision, what qualifies it, parts, provenance."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from analysis.report.document import Part, Section
from analysis.report.run_table import RunTable
from train.config.spec import IsoflopError

PACKAGES = ("isoflop", "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "torch", "transformers")


class ReportError(IsoflopError):
    """Parts that can't stand in one report."""


@dataclass(frozen=True)
class Report:
    """What the page says: the decision first, then what qualifies it, then the parts.

    `details` are sentences under the decision. `book` holds what points and rows tell of their
    runs; `provenance` are names and values.
    """

    title: str
    decision: str
    caveats: Sequence[str]
    facts: Sequence[tuple[str, str]]
    parts: Sequence[Part]
    command: str
    book: RunTable | None = None
    provenance: Sequence[tuple[str, str]] = ()
    details: Sequence[str] = ()

    def __post_init__(self) -> None:
        names = [spec.name for section in self.sections for spec in section.figures]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ReportError(
                f"figures {', '.join(sorted(twice))} occur twice in the report, one would replace "
                f"the other; give each FigureSpec a name of its own"
            )

    @property
    def sections(self) -> list[Section]:
        return [section for part in self.parts for section in part.sections]


def versions() -> list[tuple[str, str]]:
    """Python's and the main packages' versions; a package that is absent is named as such."""
    found = [("python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    return found
