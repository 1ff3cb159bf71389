"""A report on one sheet of A3, to print and hang up: its first sentences and its main figures."""

import base64
from importlib import resources

from markupsafe import Markup

from analysis.figures.figure_spec import FigureSpec
from analysis.report.page import page_environment
from analysis.report.report import Report
from analysis.report.svg import svg

FIRST = ("isoflop", "loss_curves", "contours")
"""Names of figures that go first, as in Hoffmann et al. 2022: profiles, curves, surface."""

ABILITY = "-metrics"
"""How the name of a figure ends that shows an ability's metrics over size."""

MOST = 6


def chosen(report: Report) -> list[FigureSpec]:
    """At most six figures of a report: those of the fits, then abilities, then what else it has."""
    found = {spec.name: spec for section in report.sections for spec in section.figures}
    names = [name for name in FIRST if name in found]
    names += [name for name in found if name.endswith(ABILITY)]
    names += [name for name in found if name not in names]
    return [found[name] for name in names[:MOST]]


def poster(report: Report) -> str:
    """The sheet as HTML that needs no network; every string is escaped, figures are inlined."""
    environment = page_environment()
    environment.filters["address"] = _address
    style = (resources.files("analysis.report") / "poster.css").read_text()
    return environment.get_template("poster.html.j2").render(
        report=report, figures=chosen(report), style=Markup(style)
    )


def _address(spec: FigureSpec) -> str:
    content = base64.b64encode(svg(spec.figure, spec.name).encode()).decode()
    return f"data:image/svg+xml;base64,{content}"
