"""The runs that a configuration names, and the study of those that belong in one fit."""

from pathlib import Path

from analysis.config import AnalysisConfig
from analysis.data.loss_column import with_loss
from analysis.data.loss_table import LossTable, select
from analysis.data.published.download import read_published
from analysis.data.published.registry import PREFIX
from analysis.data.readers import read_file, read_sweeps
from analysis.emergence.tables.read import is_score_table
from analysis.studies.allocation import AllocationRow, allocate
from analysis.studies.study import Study, run_study
from analysis.studies.validation_runs import to_fit
from train.rundir.sweep_layout import SweepPaths


def fitted(config: AnalysisConfig) -> tuple[LossTable, Study, list[AllocationRow]]:
    """All runs that were read, the study of those that belong in one fit, and its advice."""
    everything = read(config)
    study = run_study(chosen(everything, config), config.fit, config.counting)
    return everything, study, allocate(study, config.allocation.flops, config.allocation.n_params)


def chosen(table: LossTable, config: AnalysisConfig) -> LossTable:
    """The runs that belong in one fit, as the configuration chooses them."""
    fit = config.fit
    return select(
        with_loss(table, fit.loss), fit.data, fit.grid, fit.where, fit.drop_highest,
        best_of=fit.best_of, max_epochs=fit.max_epochs,
    )  # fmt: skip


def read(config: AnalysisConfig) -> LossTable:
    """The runs that a configuration names, unfiltered but clean."""
    if config.sweeps:
        return read_sweeps(to_fit([Path(sweep) for sweep in config.sweeps]))
    assert config.table.path is not None  # AnalysisConfig holds exactly one of the two
    path = config.table.path
    if path.startswith(PREFIX):
        return read_published(path, config.table.options)
    if path.startswith("wandb:"):
        from analysis.data.wandb_reader import read_wandb

        project = path.removeprefix("wandb:")
        options = config.table.options
        return read_wandb(project, options, config.table.filters, Path(config.table.cache))
    return read_file(Path(path), config.table.options)


TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".parquet", ".gz")
"""Names of tables that need not be there for the reader to say that they are missing."""


def is_table(path: str) -> bool:
    remote = path.startswith(("wandb:", "published:"))
    return (
        remote
        or Path(path).suffix in TABLE_SUFFIXES
        or Path(path).is_file()
        or _holds_results(Path(path))
    )


def _holds_results(path: Path) -> bool:
    """Whether a directory is no sweep but holds results of lm-evaluation-harness or BIG-bench."""
    sweep = SweepPaths(path)
    return path.is_dir() and not sweep.runs.exists() and is_score_table(path)
