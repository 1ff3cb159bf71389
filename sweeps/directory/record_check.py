"""Records read with suspicion: every field of its type, and of the run whose directory it is."""

from pathlib import Path
from typing import get_args, get_type_hints

from train.rundir.atomic import RecordError
from train.rundir.record import DONE, RunPaths, RunRecord, read_record
from train.rundir.sweep_layout import run_id_of

_NUMBERS = {float: (int, float), int: (int,), str: (str,), type(None): (type(None),)}


def _allowed(hint: object) -> tuple[type, ...]:
    """Types that JSON may hold for an annotation; dictionaries are looked into apart."""
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind in _NUMBERS]
    return tuple(found for kind in kinds for found in _NUMBERS[kind])


_PARTS = ("losses", "epochs")
_FIELDS = {k: _allowed(hint) for k, hint in get_type_hints(RunRecord).items() if k not in _PARTS}


def checked_record(run_dir: Path) -> RunRecord | None:
    """The record of a run, or None while it has none.

    Raises:  RecordError: truncated or garbage, a field of another type, a status that ends no run,
             or the record of another run than spec.json's.
    """
    record = read_record(run_dir)
    if record is None:
        return None
    path = RunPaths(run_dir).record
    for name, allowed in _FIELDS.items():
        value = getattr(record, name)
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise _wrong(path, f"{name}={value!r:.40} is not {allowed[0].__name__}")
    for name in _PARTS:
        values = getattr(record, name)
        if not isinstance(values, dict) or not all(map(_is_number, values.values())):
            raise _wrong(path, f"{name}={values!r:.40} does not map parts to numbers")
    if record.status not in DONE:
        raise _wrong(path, f"status={record.status} ends no run")
    expected = run_id_of(run_dir)
    if expected is not None and record.run_id != expected:
        raise _wrong(path, f"it is of run {record.run_id}, the directory is of run {expected}")
    return record


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _wrong(path: Path, what: str) -> RecordError:
    return RecordError(f"{path} is not this run's record: {what}; launch again to redo the run")
