"""Which sweeps are tests of a fit, and their runs as cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.loss_column import with_loss
from analysis.data.loss_table import TableError
from analysis.data.readers import read_sweeps
from analysis.studies.validation import TrainedCell
from train.rundir.atomic import read_json
from train.rundir.sweep_layout import SweepPaths

SAME_BUDGET, SAME_SIZE = 1.05, 1.5
"""Factors in FLOPs and N within which a run belongs to an allocation; shapes come in steps."""


@dataclass(frozen=True, eq=False)
class ValidationRuns:
    """A test of a fit: what was predicted, optimum and one alternative, what was left out."""

    directory: Path
    predicted: dict[str, Any]
    cells: tuple[TrainedCell, TrainedCell]
    evals: pd.DataFrame
    notes: tuple[str, ...]


def to_fit(directories: Sequence[Path]) -> list[Path]:
    """The sweeps whose runs are fitted: those that test no fit, or else what the tests name."""
    plain = [d for d in directories if not SweepPaths(d).prediction.is_file()]
    if plain:
        return plain
    named = [Path(s) for d in directories for s in read_json(SweepPaths(d).prediction)["sweeps"]]
    return list(dict.fromkeys(named))


def trials(directories: Sequence[Path], counting: str, loss: str = "loss") -> list[ValidationRuns]:
    """The tests among some sweeps, with their finished runs.

    Args:
        directories: Sweeps, those that test no fit among them or not.
        counting: The fit's.
        loss: The column that the fit is of (`fit.loss`).

    Raises:
        TableError: A test of which one allocation has no finished run, or none with that loss.
    """
    tests = [d for d in directories if SweepPaths(d).prediction.is_file()]
    return [trial for directory in tests for trial in _trials(directory, counting, loss)]


def _trials(directory: Path, counting: str, loss: str) -> list[ValidationRuns]:
    """The optimum against each alternative that has a finished run."""
    predicted = read_json(SweepPaths(directory).prediction)
    predicted.setdefault("alternative", predicted.get("rival"))  # its name until release 0.2
    table = with_loss(read_sweeps([directory]), loss)
    counted = table.counted(counting)
    names = table.texts("run_id")
    exact_n, exact_c = table.numbers("n_params"), table.numbers("flops")
    near = np.abs(np.log(exact_c / predicted["flops"])) < np.log(SAME_BUDGET)
    choices = [predicted["optimum"], predicted["alternative"], *predicted.get("more", ())]
    cells, missing, used = [], [], np.zeros(len(table), bool)
    for place, choice in enumerate(choices):
        name = choice.get("name") or ("alternative" if place else "optimum")
        own = near & (np.abs(np.log(exact_n / choice["n_params"])) < np.log(SAME_SIZE))
        rows = np.flatnonzero(own)
        used |= own
        if not own.any():
            missing.append(name)
            continue
        cells.append(
            TrainedCell(
                name,
                float(np.median(counted.n_params[rows])),
                float(np.median(counted.n_tokens[rows])),
                float(np.median(counted.flops[rows])),
                tuple(names[rows]),
                table.numbers("loss")[rows],
            )
        )
    if len(cells) < 2 or choices[0].get("name", "optimum") in missing:
        raise TableError(
            f"{directory}: the {missing[0]} has no finished run, so there is nothing to compare; "
            f"finish the sweep: isoflop sweep retry {directory}"
        )
    notes = [f"{name} has no finished run yet and is not compared" for name in missing]
    notes += [f"{row.run_id} left out: {row.reason}" for row in table.excluded]
    notes += [f"{run} left out: neither allocation at this budget" for run in names[~used]]
    notes += list(table.warnings)
    return [
        ValidationRuns(directory, predicted, (cells[0], other), table.evals, tuple(notes))
        for other in cells[1:]
    ]
