"""What the templates of a report's pages have in common."""

import jinja2

from analysis.report.typeset import typeset


def page_environment() -> jinja2.Environment:
    """Templates of this package, in which every string is escaped and no name may be missing."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typeset"] = typeset
    return environment
