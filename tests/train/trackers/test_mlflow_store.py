"""MLflow's database is made whole, whoever ends meanwhile; a stand-in plays MLflow."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from train.commands.processes import ROOT
from train.config.run_config import TrackerSpec
from train.trackers import mlflow_store
from train.trackers.kinds import begin_stores

MLFLOW = """
import pathlib, time
class MlflowClient:
    def search_experiments(self, max_results):
        pathlib.Path("mlflow.db").write_text("half")
        time.sleep(1)
        pathlib.Path("mlflow.db").write_text("whole")
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with the stand-in ahead of any MLflow that is installed."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "stand-in"), str(ROOT)]))
    (tmp_path / "stand-in" / "mlflow").mkdir(parents=True)
    (tmp_path / "stand-in" / "mlflow" / "__init__.py").write_text(MLFLOW)
    monkeypatch.chdir(tmp_path)


def test_a_process_that_ends_meanwhile_leaves_a_whole_database():
    code = "from train.trackers import mlflow_store; mlflow_store.begin()"
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)
    path, until = Path("mlflow.db"), time.monotonic() + 60
    while not (path.is_file() and path.read_text() == "whole"):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_it_is_made_once():
    begun = mlflow_store.begin()
    assert begun is not None and begun.wait(60) == 0
    assert Path("mlflow.db").read_text() == "whole"
    assert mlflow_store.begin() is None


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("", "mlflow.db"),
        ("sqlite:////data/of%20mine.db", "/data/of mine.db"),
        ("sqlite:///here.db", "here.db"),
        ("http://127.0.0.1:5000", None),
        ("file:///data/mlruns", None),
        ("postgresql://host/runs", None),
    ],
)
def test_only_a_database_of_this_machine_is_made(address: str, file: str | None, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert mlflow_store.database() == (file and Path(file))


def test_folders_of_earlier_releases_of_mlflow_stay_its_store():
    Path("mlruns").mkdir()
    assert mlflow_store.database() is None


def test_a_launch_begins_the_stores_of_its_trackers_alone(monkeypatch):
    for spec in (TrackerSpec("tensorboard"), TrackerSpec("mlflow", mode="disabled")):
        begin_stores(spec)
    assert not list(Path().glob("*.db"))
    begin_stores(TrackerSpec(["tensorboard", "mlflow"]))
    until = time.monotonic() + 60
    while not Path("mlflow.db").is_file():
        assert time.monotonic() < until
        time.sleep(0.1)
