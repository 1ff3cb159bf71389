"""Records read with suspicion: of a run that has ended, and of the run whose directory it is."""

from pathlib import Path

from train.rundir.atomic import RecordError
from train.rundir.record import DONE, RunPaths, RunRecord, read_record
from train.rundir.sweep_layout import run_id_of


def checked_record(run_dir: Path) -> RunRecord | None:
    """The record of a run, or None while it has none.

    Raises:  RecordError: truncated or garbage, a field of another type, a status that ends no run,
             or the record of another run than spec.json's.
    """
    record = read_record(run_dir)
    if record is None:
        return None
    expected = run_id_of(run_dir)
    if record.status not in DONE:
        wrong = f"status={record.status} ends no run"
    elif expected is not None and record.run_id != expected:
        wrong = f"it is of run {record.run_id}, the directory is of run {expected}"
    else:
        return record
    path = RunPaths(run_dir).record
    raise RecordError(f"{path} is not this run's record: {wrong}; launch again to redo the run")
