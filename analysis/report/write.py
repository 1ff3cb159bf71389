"""A report written to disk: the page, its Markdown twin for pull requests, a poster, figures."""

from pathlib import Path

from analysis.report.html import render
from analysis.report.markdown import markdown
from analysis.report.poster import chosen, poster
from analysis.report.report import Report
from analysis.report.svg import png, svg
from train.rundir.atomic import write_atomic


def write_report(report: Report, directory: Path) -> Path:
    """Write report.html, report.md, poster.html and every figure into a directory.

    Returns the path of the page; a report without figures has no poster.

    Raises:  RecordError: the directory can't be written.
    """
    for section in report.sections:
        for spec in section.figures:
            write_atomic(directory / "figures" / f"{spec.name}.svg", svg(spec.figure, spec.name))
            write_atomic(directory / "figures" / f"{spec.name}.png", png(spec.figure))
    write_atomic(directory / "report.md", markdown(report))
    if chosen(report):
        write_atomic(directory / "poster.html", poster(report))
    path = directory / "report.html"
    write_atomic(path, render(report))
    return path
