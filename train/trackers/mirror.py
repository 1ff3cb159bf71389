"""What a run directory knows of its run in a tracker: wandb.json, mlflow.json, ..."""

from dataclasses import asdict, dataclass
from pathlib import Path

from train.rundir.atomic import RecordError, read_json, write_json
from train.rundir.record import RunPaths


@dataclass(frozen=True)
class Mirror:
    """One id for each training.

    `ended`: the training has its record, so that another one of the same spec is another run there;
    `uploaded`: the tracker has taken every row and the record; `lacking` is why it has not.
    """

    id: str
    ended: bool = False
    uploaded: bool = False
    lacking: str = ""


def read_mirror(run_dir: Path, kind: str = "wandb") -> Mirror | None:
    """A run's copy in a tracker; None where it has none, or a damaged file says nothing."""
    try:
        return Mirror(**read_json(RunPaths(run_dir).mirror(kind)))
    except (RecordError, TypeError):
        return None


def write_mirror(run_dir: Path, kind: str, mirror: Mirror) -> None:
    """Keep it beside the run's other files.

    Raises:  RecordError: it can't be written.
    """
    write_json(RunPaths(run_dir).mirror(kind), asdict(mirror))


def continued(run_dir: Path, kind: str) -> str | None:
    """The id of the tracker's run that this training goes on in; None where it opens its own.

    A run that ended is gone on with only while the run directory still has its record: what it
    lacks is uploaded later.
    """
    former = read_mirror(run_dir, kind)
    going_on = former is not None and (not former.ended or RunPaths(run_dir).record.exists())
    return former.id if former and going_on else None
