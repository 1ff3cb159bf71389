import functools
from pathlib import Path

import pytest

from tests.support.analyses import write_table
from tests.support.synthetic_sweep import write_sweep


@pytest.fixture(scope="session")
def sweep_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("results") / "synthetic")


@pytest.fixture
def made_csv(tmp_path):
    """Writes a table of runs of a known surface and returns its path."""
    return functools.partial(write_table, tmp_path / "made.csv")
