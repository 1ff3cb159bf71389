"""Runs of a Weights & Biases project as a table, through the public API.

A run's row is its summary, over its config with nested keys joined by dots. Histories of finished
runs do not change, so each is downloaded once and kept as a parquet file.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.loss_table import CURVE_COLUMNS, LossTable, TableError, as_numbers
from analysis.data.readers import from_cells
from analysis.data.reading.formats import Cells
from analysis.data.reading.json_tables import flattened
from analysis.data.reading.understand import AS_IT_SAYS, TableOptions
from analysis.data.reading.units import in_base_units
from train.rundir.atomic import write_atomic
from train.trackers.names import NAMES

log = logging.getLogger(__name__)

STATES = {"finished": "finished", "running": "running", "crashed": "failed", "failed": "failed"}


def read_wandb(
    project: str,
    options: TableOptions = AS_IT_SAYS,
    filters: Mapping[str, Any] | None = None,
    cache: Path = Path("results/wandb-cache"),
    api: Any = None,
) -> LossTable:
    """The runs of `entity/project` that pass W&B's own filters, e.g. {"group": "demo"}.

    Args:    options: its columns are keys of the summary, config (dotted) and history.
             cache: where histories are kept. api: stands in for wandb.Api(), in tests.
    Raises:  TableError: a malformed project, no access, no runs, missing columns.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", project):
        raise TableError(f"table=wandb:{project} is malformed; expected wandb:entity/project")
    try:
        import wandb

        runs = list((api or wandb.Api()).runs(project, filters=dict(filters or {}) or None))
        rows = [_row(run) for run in runs]
        curves = [
            _curve(run, row, options, cache / project) for run, row in zip(runs, rows, strict=True)
        ]
    except (ImportError, ValueError, OSError, wandb_errors()) as error:
        raise TableError(
            f"wandb:{project} can't be read ({str(error).splitlines()[0]}); check the name, and "
            f"`wandb login` or WANDB_API_KEY"
        ) from error
    if not rows:
        raise TableError(
            f"wandb:{project} has no runs under filters {dict(filters or {})}; loosen them"
        )
    found = [curve for curve in curves if len(curve)]
    points = pd.concat(found, ignore_index=True) if found else None
    return from_cells(Cells(pd.DataFrame(rows)), f"wandb:{project}", options, points)


def wandb_errors() -> type[Exception]:
    """The root of wandb's own exceptions."""
    try:
        from wandb.errors import Error
    except ImportError:
        return ImportError
    return Error


def _row(run: Any) -> dict[str, Any]:
    """One run's scalars; its own status if it recorded one, else what W&B says of it."""
    config = flattened({k: v for k, v in dict(run.config).items() if not k.startswith("_")})
    summary = flattened({k: v for k, v in dict(run.summary).items() if not k.startswith("_")})
    row = {**config, **summary}
    row.setdefault("status", STATES.get(run.state, "failed"))
    return {**row, "run_id": run.id, "name": run.name}


def _history(run: Any, keys: list[str]) -> pd.DataFrame:
    """The history's rows that have every key, which a run of ours has under its name in trackers.

    Earlier releases logged metrics.jsonl's own names.
    """
    points = pd.DataFrame(list(run.scan_history(keys=keys)), columns=pd.Index(keys))
    now = [NAMES.get(key, key) for key in keys]
    if points.empty and now != keys:
        points = pd.DataFrame(list(run.scan_history(keys=now)), columns=pd.Index(now))
        points.columns = pd.Index(keys)
    return points


def _curve(run: Any, row: dict[str, Any], options: TableOptions, cache: Path) -> pd.DataFrame:
    """Validation losses along a finished run, from the cache if they are there."""
    keys = [options.columns.get(name) or name for name in CURVE_COLUMNS[1:]]
    if row["status"] != "finished":
        return pd.DataFrame({name: [] for name in CURVE_COLUMNS})
    path = cache / f"{run.id}.parquet"
    points = pd.read_parquet(path) if path.exists() else pd.DataFrame()
    if not set(keys) <= set(points):
        points = _history(run, keys)
        write_atomic(path, points.to_parquet())
    renamed = {
        name: in_base_units(name, as_numbers(points, key), options.units.get(name, ""))
        for name, key in zip(CURVE_COLUMNS[1:], keys, strict=True)
    }
    return pd.DataFrame({"run_id": run.id, **renamed})
