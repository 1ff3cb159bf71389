from pathlib import Path

import pytest

from tests.support.synthetic_sweep import write_sweep


@pytest.fixture(scope="session")
def sweep_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("results") / "synthetic")
