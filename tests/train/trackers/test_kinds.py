"""TensorBoard, Trackio and MLflow, each read back; what is not installed is skipped."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sweeps.manage.sync import sync
from tests.support.runs import interrupted, metrics, weights
from train.config.run_config import RunConfig, TrackerSpec
from train.engine.writer import RunWriter
from train.run import train_run
from train.rundir.atomic import read_jsonl
from train.rundir.record import RunPaths, read_record, write_job
from train.trackers.kinds import KINDS, require_packages
from train.trackers.mirror import read_mirror

Points = list[tuple[int, float]]
"""What a tracker has of one curve: each step with its value, in the order of the steps."""


def of_tensorboard(run_dir: Path, name: str) -> Points:
    reader = import_module("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(run_dir / "tensorboard")).Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def of_trackio(run_dir: Path, name: str) -> Points:
    storage = import_module("trackio.sqlite_storage").SQLiteStorage
    rows = storage.get_logs(run_dir.parent.name, mirror_id(run_dir, "trackio"))
    return sorted((row["step"], row[name]) for row in rows if name in row)


def of_mlflow(run_dir: Path, name: str) -> Points:
    client = import_module("mlflow").MlflowClient()
    history = client.get_metric_history(mirror_id(run_dir, "mlflow"), name)
    return sorted((point.step, point.value) for point in history)


READERS: dict[str, Callable[[Path, str], Points]] = {
    "tensorboard": of_tensorboard,
    "trackio": of_trackio,
    "mlflow": of_mlflow,
}

needs = {
    kind: pytest.mark.skipif(
        find_spec(KINDS[kind].package) is None, reason=f"{KINDS[kind].package} is not installed"
    )
    for kind in READERS
}
each = pytest.mark.parametrize("kind", [pytest.param(kind, marks=needs[kind]) for kind in READERS])

# Their warnings are theirs; what they store is what is tested here.
pytestmark = pytest.mark.filterwarnings("default")


def mirror_id(run_dir: Path, kind: str) -> str:
    mirror = read_mirror(run_dir, kind)
    assert mirror is not None
    return mirror.id


@pytest.fixture(autouse=True)
def stores(tmp_path: Path, monkeypatch) -> None:
    """Stores of this test's own: in MLflow a folder, in Trackio a project named after it."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())


def tracked(job: RunConfig, run_dir: Path, *kinds: str) -> Path:
    """Write a job that logs to these trackers, under the project of the run's folder."""
    write_job(run_dir, replace(job, tracker=TrackerSpec(list(kinds), project=run_dir.parent.name)))
    return run_dir


def curve(run_dir: Path, name: str) -> Points:
    return [
        (row["step"], row[name]) for row in read_jsonl(RunPaths(run_dir).metrics) if name in row
    ]


@each
def test_a_resumed_run_is_stored_once_with_its_settings_and_record(
    kind: str, tmp_path: Path, tiny_job: RunConfig, finished: Path, monkeypatch
):
    run_dir = tracked(tiny_job, tmp_path / "run", kind)
    interrupted(run_dir, monkeypatch, 15, 13)
    first = mirror_id(run_dir, kind)
    # A kill leaves the tracker ahead of the state: the restart repeats steps.
    shutil.rmtree(RunPaths(run_dir).state)
    assert train_run(run_dir) == "finished"
    read = READERS[kind]
    for name, column in (("train/loss", "train_loss"), ("eval/loss", "loss")):
        assert read(run_dir, name) == [(s, pytest.approx(v)) for s, v in curve(run_dir, column)]
    assert read_mirror(run_dir, kind) == replace(
        read_mirror(run_dir, kind), id=first, ended=True, uploaded=True
    )
    record = read_record(run_dir)
    assert read(run_dir, "record/loss") == [(40, pytest.approx(record.loss))]
    assert settings(kind, run_dir)["optim.lr_peak"] == pytest.approx(record.lr_peak)
    assert weights(run_dir) == weights(finished)
    assert metrics(run_dir) == metrics(finished)


def settings(kind: str, run_dir: Path) -> dict[str, float]:
    """The numbers among the settings that a tracker keeps with the run."""
    if kind == "tensorboard":
        [path] = (run_dir / "tensorboard").glob("*/hparams.yml")
        found: dict[str, Any] = import_module("yaml").safe_load(path.read_text())
    elif kind == "trackio":
        runs = import_module("trackio").Api().runs(run_dir.parent.name)
        [found] = [run.config for run in runs if run.name == mirror_id(run_dir, kind)]
    else:
        found = import_module("mlflow").get_run(mirror_id(run_dir, kind)).data.params
    return {"optim.lr_peak": float(found["optim.lr_peak"])}


@each
def test_a_run_that_fails_is_whole_after_another_attempt(
    kind: str, tmp_path: Path, tiny_job: RunConfig, monkeypatch
):
    real = RunWriter._write

    def write(self, row):
        real(self, row)
        if row["step"] == 20:
            raise RuntimeError("power cut")

    run_dir = tracked(tiny_job, tmp_path / "run", kind)
    monkeypatch.setattr(RunWriter, "_write", write)
    assert train_run(run_dir) == "failed"
    if kind == "mlflow":
        assert import_module("mlflow").get_run(mirror_id(run_dir, kind)).info.status == "FAILED"
    monkeypatch.setattr(RunWriter, "_write", real)
    assert train_run(run_dir) == "finished"
    assert [step for step, _ in READERS[kind](run_dir, "train/loss")] == [10, 20, 30, 40]


@needs["tensorboard"]
@needs["mlflow"]
def test_several_at_once(tmp_path: Path, tiny_job: RunConfig):
    run_dir = tracked(tiny_job, tmp_path / "run", "wandb", "tensorboard", "mlflow")
    assert train_run(run_dir) == "finished"
    assert of_tensorboard(run_dir, "eval/loss") == [
        (step, pytest.approx(value)) for step, value in of_mlflow(run_dir, "eval/loss")
    ]
    assert list((run_dir / "wandb").glob("offline-run-*"))


@needs["mlflow"]
def test_a_server_that_is_away_is_left_to_sync(tmp_path: Path, tiny_job: RunConfig, monkeypatch):
    spec = TrackerSpec("mlflow", mode="offline", project="sweep")
    run_dir = tmp_path / "sweep" / "runs" / "run"
    write_job(run_dir, replace(tiny_job, tracker=spec))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert train_run(run_dir) == "finished"
    assert not read_mirror(run_dir, "mlflow").uploaded
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    assert sync(tmp_path / "sweep").problems == []
    assert [step for step, _ in of_mlflow(run_dir, "train/loss")] == [10, 20, 30, 40]
    assert sync(tmp_path / "sweep").lines == []


def test_a_package_that_is_missing_is_named_before_a_launch(monkeypatch):
    monkeypatch.setattr("train.trackers.kinds.find_spec", lambda name: None)
    with pytest.raises(Exception, match=r"pip install 'isoflop\[mlflow\]'"):
        require_packages(("wandb", "mlflow"))
    require_packages(("wandb", "files"))
