"""What an analysis is asked to do: the frozen dataclasses behind conf/analysis.yaml and
conf/fit/.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.data.counting import COUNTINGS
from analysis.data.reading.understand import TableOptions
from analysis.fits.downstream.second_step import KINDS
from analysis.studies.fit_config import FitConfig
from analysis.studies.forms.rolling import BY
from train.config.run_config import TrackerSpec
from train.config.spec import SpecError, one_of, require
from train.rundir.sweep_layout import SweepPaths


@dataclass(frozen=True)
class TableConfig:
    """A foreign table: a file of any tabular format, or wandb:entity/project.

    `columns` maps the design's names to the table's ("" leaves a field alone), `units` says what
    n_params, n_tokens, flops or loss are in, `decimal` is the mark of decimals (docs/tables.md);
    `filters` are passed to W&B, or keep rows of a table of scores ({task: [a, b], n_shots: 0});
    `models` is a table of sizes, families and FLOPs that is joined to one of scores by model;
    `cache` is where downloads of W&B are kept.
    """

    path: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    decimal: str | None = None
    filters: dict[str, Any] = field(default_factory=dict)
    models: str | None = None
    cache: str = "results/wandb-cache"

    @property
    def options(self) -> TableOptions:
        """How its reader is to understand it."""
        return TableOptions(self.columns, self.units, self.decimal)


@dataclass(frozen=True)
class AllocationConfig:
    """What to allocate: budgets in FLOPs, or model sizes to find the budgets of; both empty for the
    sweep's own budgets and some beyond them.

    `inference_tokens` are numbers of tokens that a model is to serve: the model of `loss`, or of
    the least loss that `flops` train, is then sought that costs least to train and to serve.
    """

    flops: list[float] = field(default_factory=list)
    n_params: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    inference_tokens: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("flops", "n_params", "loss"):
            for value in getattr(self, name):
                require(value > 0, f"allocation.{name} has {value}; expected positive numbers")
        for value in self.inference_tokens:
            require(
                value >= 0,
                f"allocation.inference_tokens has {value}; expected numbers of 0 or more",
            )

    @property
    def asked(self) -> bool:
        return bool(self.flops or self.n_params or self.loss or self.inference_tokens)


@dataclass(frozen=True)
class PredictConfig:
    """Runs whose loss to predict: sizes with their tokens, one for all or one each, and a table."""

    n_params: list[float] = field(default_factory=list)
    n_tokens: list[float] = field(default_factory=list)
    table: str | None = None

    def __post_init__(self) -> None:
        for name in ("n_params", "n_tokens"):
            for value in getattr(self, name):
                require(value > 0, f"predict.{name} has {value}; expected positive numbers")
        n, d = len(self.n_params), len(self.n_tokens)
        require(
            n == d or (min(n, d) == 1),
            f"predict has {n} n_params and {d} n_tokens; expected as many, or one of either",
        )

    @property
    def asked(self) -> bool:
        return bool(self.n_params) or self.table is not None

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """N and D of each run."""
        most = max(len(self.n_params), len(self.n_tokens))
        n, d = (v * most if len(v) == 1 else v for v in (self.n_params, self.n_tokens))
        return list(zip(n, d, strict=True))


@dataclass(frozen=True)
class CurvesConfig:
    """Of `isoflop curves`: `fit_to` names the curves that the law is fitted to, empty for all."""

    fit_to: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FormsConfig:
    """Rolling hold-out of all forms of the loss, ordered `by` flops or n_params; null for none."""

    by: str | None = None

    def __post_init__(self) -> None:
        if self.by is not None:
            one_of("forms.by", self.by, BY)


@dataclass(frozen=True)
class AbilityConfig:
    """Abilities to predict in two steps: `tasks` by name, or [all]; empty for none.

    `loss` and `accuracy` are metrics of evaluations, or endings of a table's columns (TASK_bpb and
    TASK_accuracy where they are null); `second` is the second step, sigmoid, anchored or tokens;
    `chance` is the accuracy by chance, by task, where it is not known from the evaluations.
    """

    tasks: list[str] = field(default_factory=list)
    loss: str | None = None
    accuracy: str | None = None
    second: str = "sigmoid"
    chance: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("ability.second", self.second, KINDS)
        for task, level in self.chance.items():
            require(0 <= level < 1, f"ability.chance has {task}: {level}; expected 0 to below 1")


@dataclass(frozen=True)
class AnalysisConfig:
    """One report: its runs (exactly one of sweeps, table and compare), its fits, where it goes.

    `compare` are two sweeps that are fitted apart and shown side by side.
    """

    sweeps: list[str] = field(default_factory=list)
    compare: list[str] = field(default_factory=list)
    table: TableConfig = field(default_factory=TableConfig)
    counting: str = "exact"
    fit: FitConfig = field(default_factory=FitConfig)
    allocation: AllocationConfig = field(default_factory=AllocationConfig)
    predict: PredictConfig = field(default_factory=PredictConfig)
    curves: CurvesConfig = field(default_factory=CurvesConfig)
    forms: FormsConfig = field(default_factory=FormsConfig)
    ability: AbilityConfig = field(default_factory=AbilityConfig)
    tracker: TrackerSpec = field(default_factory=TrackerSpec)
    out: str | None = None
    title: str | None = None

    def __post_init__(self) -> None:
        one_of("counting", self.counting, COUNTINGS)
        sources = {"sweeps": self.sweeps, "table": self.table.path, "compare": self.compare}
        given = [name for name, value in sources.items() if value]
        if len(given) != 1:
            raise SpecError(
                f"give exactly one of the directories of sweeps, a table, and compare=[A,B]; got "
                f"{' and '.join(given) or 'none'}; for example: isoflop analyze results/demo"
            )
        require(
            not (self.compare and self.fit.by),
            "compare and fit.by both fit apart; give one of them",
        )
        require(
            len(self.compare) in (0, 2),
            f"compare has {len(self.compare)} sweeps; expected two: compare=[results/a,results/b]",
        )


def output_directory(config: AnalysisConfig) -> Path:
    """`out`, or analysis/ in the sweep's directory, or a directory named after the table.

    Fits by a column have one of their own below it, so that they replace no fits.json of one law.
    """
    if config.out:
        return Path(config.out)
    own = f"by-{_file_name(config.fit.by)}" if config.fit.by else ""
    if len(config.sweeps) == 1:
        return SweepPaths(Path(config.sweeps[0])).analysis / own
    names = config.sweeps or config.compare or [str(config.table.path)]
    stem = "+".join(_file_name(Path(name).stem) for name in names)
    return Path("results") / f"{'compare' if config.compare else 'analysis'}-{stem}" / own


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)
