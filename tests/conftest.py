"""Every test runs on pinned threads and away from the network and the user's own caches."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Others' tables are no part of the repository; a folder of them may lie beside it.
_PUBLISHED = Path(__file__).parents[2] / "shared" / "published"
if _PUBLISHED.is_dir():
    os.environ.setdefault("ISOFLOP_PUBLISHED", str(_PUBLISHED))

_SCRATCH = tempfile.TemporaryDirectory(prefix="isoflop-tests-", ignore_cleanup_errors=True)
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    HF_HUB_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
    ISOFLOP_SPEED="library",  # no test's numbers depend on what this machine does fastest
    WANDB_MODE="offline",
    WANDB_SILENT="true",
    WANDB_ERROR_REPORTING="false",
    TRACKIO_DIR=str(Path(_SCRATCH.name) / "trackio"),
    ISOFLOP_CACHE=os.environ.get("ISOFLOP_TEST_CACHE", _SCRATCH.name),
)

# In CI the same examples every time; elsewhere new ones, which find new faults.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _a_launch_of_its_own(monkeypatch: pytest.MonkeyPatch):
    """What one test's launch decided about W&B is inherited by its workers, not by other tests."""
    monkeypatch.setenv("ISOFLOP_WANDB_OFFLINE_REASON", "")
    monkeypatch.delenv("ISOFLOP_WANDB_OFFLINE_REASON")
