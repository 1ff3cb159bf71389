"""Plan, train and evaluate in one call each, with the settings of the commands."""

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from train.commands.command_line import Command, text_override, translate
from train.config.cli import load_config
from train.config.spec import IsoflopError

if TYPE_CHECKING:
    from sweeps.plan.plan import Plan
    from train.rundir.record import RunRecord


def plan(*settings: str) -> "Plan":
    """The runs of a sweep with their sizes, tokens, FLOPs and predicted seconds; trains nothing.

    Args:
        settings: As behind `isoflop sweep plan`: "preset=demo", "model.seq_len=64", ...

    Raises:
        IsoflopError: a setting that is unknown, or a sweep that can't work.

    Examples:
        >>> from isoflop import plan
        >>> made = plan("sweep=grid", "data=arithmetic", "sweep.grids.grid.d_models=[16,32]",
        ...             "sweep.grids.grid.n_tokens=[2e4]", "calibrate=false",
        ...             "data.parts.addition.options.n_items=5000", "data.val_tokens=2048")
        >>> [run.job.spec.model.d_model for run in made.runs]
        [16, 32]
    """
    from sweeps.__main__ import COMMAND
    from sweeps.plan.plan import make_plan

    overrides = translate(COMMAND, ["plan", *settings]).overrides
    return make_plan(load_config(COMMAND.config_name, overrides, COMMAND.config).settled())


def train(directory: str | Path, *settings: str) -> "RunRecord":
    """Train one run in a directory, or continue the one that is there.

    Args:
        directory: Where the run's checkpoint, curve and record go.
        settings: As behind `isoflop train`: "model=d64", "horizon.n_tokens=2e6", ...

    Returns:
        What record.json holds: loss, FLOPs, speed, status and the rest.

    Raises:
        IsoflopError: a setting that can't work, or a run that ended without a record.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from isoflop import train
        >>> with TemporaryDirectory() as directory:
        ...     record = train(directory, "model=d16", "data=arithmetic", "horizon.n_tokens=2e4",
        ...                    "data.parts.addition.options.n_items=5000", "data.val_tokens=2048",
        ...                    "optim.batch_tokens=1024")
        >>> record.status, record.d_model
        ('finished', 16)
    """
    from train.__main__ import COMMAND, job_of
    from train.run import train_run
    from train.rundir.record import read_record, write_job

    overrides = [*_overrides(COMMAND, settings), text_override("out", str(directory))]
    write_job(Path(directory), job_of(load_config("train", overrides, COMMAND.config)), overrides)
    status = train_run(Path(directory))
    record = read_record(Path(directory))
    if record is None:
        raise IsoflopError(f"the run ended as {status}; {directory}/train.log says why")
    return record


def evaluate(target: str | Path, *settings: str) -> pd.DataFrame:
    """Scores of a sweep's runs, or of one checkpoint, by every metric.

    Args:
        target: A sweep's directory, a checkpoint's directory, or a Hugging Face name.
        settings: As behind `isoflop eval`: "task=addition", "task.digits=2", ...

    Returns:
        One row per run, checkpoint, task, split and metric: value, ci_low, ci_high, n_items.

    Raises:
        IsoflopError: nothing there that can be evaluated, or a setting that can't work.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from isoflop import evaluate, train
        >>> with TemporaryDirectory() as directory:
        ...     record = train(f"{directory}/run", "model=d16", "data=arithmetic",
        ...                    "data.parts.addition.options.n_items=5000", "data.val_tokens=2048",
        ...                    "horizon.n_tokens=2e4", "optim.batch_tokens=1024")
        ...     scores = evaluate(f"{directory}/run/checkpoint", "task=addition", "task.digits=2",
        ...                       "n_items=20", f"out={directory}/scores")
        >>> "exact_match" in set(scores.metric), int(scores.n_items.max())
        (True, 20)
    """
    from eval.__main__ import COMMAND
    from eval.evals_table import rows
    from train.rundir.atomic import read_json

    overrides = [*_overrides(COMMAND, settings), text_override("target", str(target))]
    config = load_config(COMMAND.config_name, overrides, COMMAND.config)
    with contextlib.redirect_stdout(io.StringIO()) as printed:  # the paths of what it wrote
        COMMAND.run(config, overrides)
    if (Path(target) / "runs").is_dir():
        specs = sorted((Path(target) / "runs").rglob("spec.json"))
        return pd.DataFrame([row for path in specs for row in rows(path.parent)])
    summaries = [Path(line) for line in printed.getvalue().splitlines() if line.endswith(".json")]
    return pd.DataFrame([row for path in summaries for row in read_json(path)["rows"]])


def _overrides(command: Command, settings: tuple[str, ...]) -> list[str]:
    return translate(command, settings).overrides
