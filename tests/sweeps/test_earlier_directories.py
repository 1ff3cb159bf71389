"""A sweep's directory that was made before its code moved: same identities, same plan."""

import tarfile
from pathlib import Path

import pytest

from sweeps.directory.run_state import read_state
from train.rundir.record import read_job
from train.rundir.sweep_layout import run_dirs

ARCHIVE = Path(__file__).parents[3] / "shared" / "cases" / "sweep_at_2a71ce8.tgz"
GOLDEN = {"89c7a508152c", "1f0340f52dc0", "e9bd491fe648", "7ee24001659d"}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    if not ARCHIVE.is_file():
        pytest.skip(f"needs {ARCHIVE.name} in ../shared/cases, which is not part of the project")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / ARCHIVE.stem


def test_run_ids_are_what_they_were(sweep: Path):
    found = {read_job(path).run_id: path.name for path in run_dirs(sweep)}
    assert set(found) == GOLDEN
    assert all(name.endswith(identity) for identity, name in found.items())


def test_statuses_are_what_they_were(sweep: Path):
    statuses = sorted(read_state(path).status for path in run_dirs(sweep))
    assert statuses == ["finished", "finished", "planned", "preempted"]
