"""Published tables for tests: read where a folder of them is given, else the test is skipped."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.data.published.download import table_file
from analysis.data.published.registry import find_table


def published_file(name: str) -> Path:
    """A file or folder of $ISOFLOP_PUBLISHED (tests/conftest.py), or a skip that says why."""
    folder = os.environ.get("ISOFLOP_PUBLISHED")
    if folder is None:
        pytest.skip("ISOFLOP_PUBLISHED names no folder of published tables, and ../shared has none")
    path = Path(folder) / name
    if not path.exists():
        pytest.skip(f"{path} is absent; ISOFLOP_PUBLISHED is the folder of published tables")
    return path


def published_table(name: str) -> Path:
    """The csv of a table of the registry in this project's columns, or a skip that says why."""
    table = find_table(name)
    if not (Path(os.environ.get("ISOFLOP_PUBLISHED", "")) / table.file).is_file():
        for file in table.files:
            published_file(file.name)
    return table_file(name)


def hoffmann_runs(kept: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """N, D and L of the runs of Hoffmann et al., the `kept` of lowest loss, or a skip."""
    frame = pd.read_csv(published_table("hoffmann2022"))
    rows = np.sort(np.argsort(frame["loss"].to_numpy(), kind="stable")[:kept])
    n_params, flops, loss = (frame[c].to_numpy()[rows] for c in ("n_params", "flops", "loss"))
    return n_params, flops / (6 * n_params), loss
