"""The report's section on simulated runs: what the fits should have found, and what they found."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.format import number, span
from analysis.report.document import Section, TableSpec
from analysis.studies.known_surfaces import truth_of_json
from analysis.studies.recovery import Recovered, conclusion, recovered
from analysis.studies.study import Study
from train.rundir.atomic import read_json
from train.rundir.sweep_layout import SweepPaths


def simulated_by(sources: Sequence[str]) -> dict[str, Any] | None:
    """The simulation that the runs are of; None where they were trained, or are of several."""
    paths = [SweepPaths(Path(source)).simulation for source in sources]
    found = [read_json(path) for path in paths if path.is_file()]
    alike = len(found) == len(sources) and all(content == found[0] for content in found)
    return found[0] if found and alike else None


def recoveries(study: Study) -> tuple[list[Recovered], str] | None:
    """Truth against estimate, and the conclusion in words; None where runs were trained."""
    simulation = simulated_by(study.table.sources)
    if simulation is None:
        return None
    rows = recovered(study, truth_of_json(simulation["truth"]))
    tuned = simulation["undertuning"]
    how = f", small models undertuned by up to {100 * tuned:g} %" if tuned else ""
    return rows, conclusion(rows, f"{simulation['surface']}, noise {simulation['noise']:g}{how}")


def recovery_section(rows: list[Recovered], said: str) -> Section:
    """The table of truths and estimates under its conclusion."""
    words = {True: "yes", False: "no", None: "–"}
    cells = [
        [
            row.approach,
            row.quantity,
            number(row.truth, 4),
            number(row.estimate, 4),
            span(row.interval),
            words[row.held],
        ]
        for row in rows
    ]
    columns = ["approach", "quantity", "truth", "estimate", "95 % interval", "holds the truth"]
    about = (
        "Nothing was trained: losses were drawn from a known surface, so that every estimate has a "
        "true value to be held against. True exponents are the slopes of the true optima over the "
        "budgets that ran, at the models' own cost."
    )
    return Section(
        "Truth against estimate", [f"{said}.", about], [], [TableSpec("Recovered", columns, cells)]
    )


def recovery_json(rows: list[Recovered]) -> list[dict[str, Any]]:
    """The rows as plain values; non-finite numbers are left to `results.plain`."""
    return [{**asdict(row), "held": row.held} for row in rows]
