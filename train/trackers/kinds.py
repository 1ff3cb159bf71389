"""TensorBoard, Trackio and MLflow, each opened through Accelerate's own class for it.

A store that is shared, or a server's, says which step of a run it has last, so that a resumed run
adds what is missing. TensorBoard's files are the run's own and are written again from the start.
"""

import math
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from train.config.run_config import RunConfig, TrackerSpec
from train.config.spec import IsoflopError
from train.rundir.record import RunRecord
from train.trackers import mlflow_store
from train.trackers.names import TOKENS


@dataclass(frozen=True)
class Opened:
    """A tracker (accelerate.tracking.GeneralTracker) that takes rows, and the last that it has."""

    tracker: Any
    id: str
    last_step: int = 0


@dataclass(frozen=True)
class Kind:
    """One tracker: its Python package, how a run is opened, and where its data go.

    `open` gets the job, the run directory, the id that the run had there or an empty text, and a
    fresh id; `close` ends it under a run's status; `address` is a server's, empty for this machine;
    `begin` starts to make a store on this machine that is not there yet, in a process of its own.
    """

    package: str
    open: Callable[[RunConfig, Path, str, str], Opened]
    close: Callable[[Any, str], None] = lambda tracker, status: tracker.finish()
    address: Callable[[], str] = lambda: ""
    begin: Callable[[], "subprocess.Popen[bytes] | None"] = lambda: None


def _open_tensorboard(job: RunConfig, run_dir: Path, former: str, fresh: str) -> Opened:
    from accelerate.tracking import TensorBoardTracker

    shutil.rmtree(run_dir / "tensorboard", ignore_errors=True)
    tracker = TensorBoardTracker("tensorboard", run_dir)
    tracker.start()
    settings = {name: value for name, value in config(job).items() if value is not None}
    tracker.store_init_configuration(settings)
    return Opened(tracker, former or fresh)


def _open_trackio(job: RunConfig, run_dir: Path, former: str, fresh: str) -> Opened:
    """Trackio resumes a run by its name, so a name holds the training's own id."""
    from accelerate.tracking import TrackioTracker

    name = former or f"{job.name}-{fresh[:6]}"
    tracker = TrackioTracker(
        job.tracker.project,
        name=name,
        group=job.sweep,
        config=config(job),
        resume="allow",
        embed=False,
        auto_log_cpu=False,
        auto_log_gpu=False,
    )
    tracker.start()
    # The next free step is what Trackio, local or a server, was asked for at the start.
    return Opened(tracker, name, tracker.tracker._next_step - 1)


def _trackio_address() -> str:
    return os.environ.get("TRACKIO_SPACE_ID") or os.environ.get("TRACKIO_SERVER_URL") or ""


def _open_mlflow(job: RunConfig, run_dir: Path, former: str, fresh: str) -> Opened:
    # MLflow's own defaults, five minutes in all, would outlast every run that we end.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    from accelerate.tracking import MLflowTracker

    mlflow = import_module("mlflow")
    options = {
        "experiment_name": job.tracker.project,
        "run_name": job.name,
        "tags": {"sweep": job.sweep, "grid": job.grid},
    }
    tracker = MLflowTracker(**options, run_id=former or None)
    try:
        tracker.start()
    except mlflow.MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            # The store that had the run is not there any more, or this is another one.
            former, tracker = "", MLflowTracker(**options)
        elif error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        # Of runs that begin together, one creates the experiment and the others find it there.
        tracker.start()
    run_id = tracker.tracker.info.run_id
    if not former:
        tracker.store_init_configuration(config(job))
        return Opened(tracker, run_id)
    history = mlflow.MlflowClient().get_metric_history(run_id, TOKENS)
    return Opened(tracker, run_id, max((point.step for point in history), default=0))


def _close_mlflow(tracker: Any, status: str) -> None:
    mlflow = import_module("mlflow")
    mlflow.end_run({"finished": "FINISHED", "preempted": "KILLED"}.get(status, "FAILED"))


def _mlflow_address() -> str:
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    return address if address.startswith(("http", "databricks")) else ""


KINDS = {
    "tensorboard": Kind("tensorboard", _open_tensorboard),
    "trackio": Kind("trackio", _open_trackio, address=_trackio_address),
    "mlflow": Kind("mlflow", _open_mlflow, _close_mlflow, _mlflow_address, mlflow_store.begin),
}


def require_packages(kinds: tuple[str, ...]) -> None:
    """Check, before a launch, that the trackers that were asked for are installed.

    Raises:  IsoflopError: one is not, and how it is.
    """
    for name in kinds:
        if name in KINDS and find_spec(KINDS[name].package) is None:
            raise IsoflopError(
                f"tracker={name} needs the package {KINDS[name].package}, which is not installed "
                f"here; pip install 'isoflop[{name}]'"
            )


def begin_stores(tracker: TrackerSpec) -> None:
    """Start to make the stores on this machine that a launch's first runs would wait for."""
    for name in tracker.kinds if tracker.mode != "disabled" else ():
        if name in KINDS:
            KINDS[name].begin()


def config(job: RunConfig) -> dict[str, Any]:
    """The spec's values by dotted key, with the run's labels: numbers, texts, truth or None."""
    labels = {"run_id": job.run_id, "grid": job.grid, "flops_budget": job.flops_budget}
    return dict(_flat(asdict(job.spec))) | labels


def summary(record: RunRecord) -> dict[str, float]:
    """The numbers of a record, as record/COLUMN."""
    return {
        f"record/{name}": value
        for name, value in asdict(record).items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _flat(values: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _flat(value, f"{above}{name}.")
        elif isinstance(value, list | tuple):
            found.append((f"{above}{name}", ", ".join(map(str, value))))
        else:
            found.append((f"{above}{name}", value))
    return found
