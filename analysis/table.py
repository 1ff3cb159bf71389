"""Tables of runs: a sweep's parquet files, anyone's csv or parquet, and what was left out and why.

Every table becomes a `LossTable` with the design's column names. A row that can't be fitted is
never dropped in silence: it turns into an `Exclusion` with its name and reason.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.counting import Counted, count
from analysis.envelope import Curves
from analysis.isoflop import group_by_flops
from train.spec import IsoflopError

CURVE_COLUMNS = ("run_id", "n_tokens", "flops", "loss")
_NUMBERS = ("n_params", "n_tokens", "flops", "loss")
_OPTIONAL = ("n_params_total", "n_params_non_embedding", "flops_chinchilla")


class TableError(IsoflopError):
    """A table of runs that can't be read, or holds nothing to fit."""


@dataclass(frozen=True)
class Exclusion:
    """A run that no fit uses."""

    run_id: str
    reason: str


@dataclass(frozen=True)
class LossTable:
    """Runs that can be fitted, one a row; their training curves; what was left out; what is odd.

    `runs` has at least run_id, n_params, n_tokens, flops, flops_budget (NaN for none) and loss;
    `curves` has run_id, n_tokens, flops and loss along training, in the order of `runs`.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    excluded: tuple[Exclusion, ...] = ()
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    evals: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __len__(self) -> int:
        return len(self.runs)

    def without(self, drop: pd.Series, reason: str | pd.Series) -> "LossTable":
        """The table without some runs, each of which becomes an exclusion."""
        if not drop.any():
            return self
        reasons = reason[drop] if isinstance(reason, pd.Series) else [reason] * int(drop.sum())
        lost = zip(self.runs.loc[drop, "run_id"], reasons, strict=True)
        return replace(
            self,
            runs=self.runs[~drop].reset_index(drop=True),
            excluded=(*self.excluded, *(Exclusion(str(name), str(why)) for name, why in lost)),
        )

    def warned(self, *messages: str) -> "LossTable":
        return replace(self, warnings=(*self.warnings, *messages))

    def counted(self, counting: str = "exact") -> Counted:
        """N, D, C, L and budgets as arrays under a counting convention."""
        names = [name for name in (*_NUMBERS, *_OPTIONAL) if name in self.runs]
        columns = {name: self.runs[name].to_numpy(dtype=float) for name in names}
        budget = self.runs["flops_budget"].to_numpy(dtype=float)
        if not np.isfinite(budget).any():
            budget = group_by_flops(columns["flops"])
        return count({**columns, "budget": budget}, counting)

    def training_curves(self, counted: Counted) -> Curves:
        """Curves of the runs of `counted`, FLOPs and N under its convention."""
        position = pd.Index(self.runs["run_id"]).get_indexer(self.curves["run_id"])
        kept = position >= 0
        run = position[kept]
        columns = {c: self.curves[c].to_numpy(dtype=float)[kept] for c in CURVE_COLUMNS[1:]}
        sorted_already = np.all(
            (np.diff(run) > 0) | ((np.diff(run) == 0) & (np.diff(columns["flops"]) > 0))
        )
        order = slice(None) if sorted_already else np.lexsort((columns["flops"], run))
        run = run[order]
        scale = counted.flops / self.runs["flops"].to_numpy(dtype=float)
        return Curves(
            run=run,
            n_params=counted.n_params[run],
            n_tokens=columns["n_tokens"][order],
            flops=columns["flops"][order] * scale[run],
            loss=columns["loss"][order],
        )


def read_sweeps(directories: Sequence[Path]) -> LossTable:
    """The runs of one or several sweep directories, as `python -m sweeps action=collect` left them.

    Raises:  TableError: a directory that isn't one, or has no runs.parquet yet.
    """
    parts = [_read_sweep(directory) for directory in directories]
    runs = pd.concat([part.runs for part in parts], ignore_index=True)
    curves = pd.concat([part.curves for part in parts], ignore_index=True)
    evals = [part.evals for part in parts if len(part.evals)]
    table = LossTable(
        runs=runs,
        curves=curves,
        warnings=tuple(message for part in parts for message in part.warnings),
        sources=tuple(str(directory) for directory in directories),
        evals=pd.concat(evals, ignore_index=True) if evals else pd.DataFrame(),
    )
    return clean(_only_finished(table))


def read_file(path: Path, columns: Mapping[str, str] | None = None) -> LossTable:
    """Runs from a csv or parquet file; `columns` maps the design's names to the file's.

    Two of n_params, n_tokens and flops must be there, and loss; the third follows from 6 N D. A
    file that names the same run on several rows holds training curves: each run's last row is the
    run.

    Raises:  TableError: no such file, unreadable, missing or unknown columns, no usable row.
    """
    return from_frame(_read_frame(path), str(path), columns)


def from_frame(
    frame: pd.DataFrame, source: str, columns: Mapping[str, str] | None = None
) -> LossTable:
    """Runs from a data frame in memory; see `read_file`."""
    frame = _renamed(frame, columns or {}, source)
    if len(frame) == 0:
        raise TableError(f"{source} has no rows; expected one row a run")
    frame, warnings = _completed(frame, source)
    named = next((name for name in ("run_id", "run", "name") if name in frame), None)
    if named is None:
        frame.insert(0, "run_id", [f"row {i + 1}" for i in range(len(frame))])
        named = "run_id"
    frame["run_id"] = frame[named].astype(str)
    curves = frame[list(CURVE_COLUMNS)].iloc[:0]
    if _holds_curves(frame):
        frame = frame.sort_values(["run_id", "n_tokens"], kind="stable")
        curves = frame[list(CURVE_COLUMNS)]
        curves = curves[np.isfinite(curves["loss"]) & (curves["loss"] > 0)]
        frame = frame.drop_duplicates("run_id", keep="last")
    if "flops_budget" not in frame:
        frame["flops_budget"] = np.nan
    table = LossTable(
        runs=frame.reset_index(drop=True),
        curves=curves.reset_index(drop=True),
        warnings=tuple(warnings),
        sources=(source,),
    )
    if "status" in frame:
        table = _only_finished(table)
    return clean(table)


def clean(table: LossTable) -> LossTable:
    """Exclude rows that no law can use: numbers not positive and finite, runs that occur twice.

    Raises:  TableError: nothing remains; the message says what the reasons were.
    """
    for name in _NUMBERS:
        values = pd.to_numeric(table.runs[name], errors="coerce").astype(float)
        bad = ~(np.isfinite(values) & (values > 0))
        reason = table.runs[name].map(
            lambda value, n=name: f"{n}={value} is not positive and finite"
        )
        table = table.without(bad, reason)
        table = replace(table, runs=table.runs.assign(**{name: values[~bad].to_numpy()}))
    table = table.without(table.runs.duplicated("run_id"), "a run with this name came before")
    twins = table.runs.duplicated(["n_params", "n_tokens", "loss"])
    table = table.without(twins, "N, D and loss equal those of an earlier row to every digit")
    if len(table) == 0:
        raise TableError(
            f"{', '.join(table.sources)} has no usable run: "
            f"{len(table.excluded)} excluded, first reason: {table.excluded[0].reason}"
        )
    return table


def select(
    table: LossTable,
    data: str | None = None,
    grid: str | None = None,
    where: Sequence[str] = (),
    drop_highest: int = 0,
) -> LossTable:
    """The runs that belong in one fit: one kind of data, since losses on others don't compare.

    Without `data`, the data with the most distinct compute budgets is taken, then the one with most
    runs. `where` holds conditions as in `DataFrame.query`; `drop_highest` leaves out the runs of
    highest loss.

    Raises:  TableError: no run of that data or grid, a condition that can't be evaluated.
    """
    if "data" in table.runs:
        table = _one_data(table, data)
    elif data is not None:
        raise TableError(f"fit.data={data}: the table has no column data; leave fit.data out")
    if grid is not None:
        names = sorted(set(table.runs.get("grid", pd.Series(dtype=str))))
        if grid not in names:
            raise TableError(
                f"fit.grid={grid} is unknown; expected one of {', '.join(names) or '-'}"
            )
        table = table.without(table.runs["grid"] != grid, f"grid is not {grid}")
    for condition in where:
        table = table.without(~_evaluated(table.runs, condition), f"fails the filter {condition}")
    if drop_highest:
        worst = table.runs["loss"].nlargest(drop_highest).index
        reason = f"among the {drop_highest} highest losses (fit.drop_highest)"
        table = table.without(pd.Series(table.runs.index.isin(worst)), reason)
    if len(table) == 0:
        raise TableError("no run passes the filters; loosen fit.data, fit.grid or fit.where")
    return table


def _one_data(table: LossTable, data: str | None) -> LossTable:
    runs = table.runs
    group = runs["data"].astype(str)
    if "data_fingerprint" in runs:
        group = group + " " + runs["data_fingerprint"].astype(str)
    if data is None:
        ranked = runs.assign(group=group).groupby("group", sort=True)
        score = ranked.agg(budgets=("flops_budget", "nunique"), n=("run_id", "size"))
        chosen = str(score.sort_values(["budgets", "n"], ascending=False, kind="stable").index[0])
    else:
        matching = sorted(set(group[(runs["data"] == data) | (group == data)]))
        if len(matching) != 1:
            options = ", ".join(sorted(set(group)))
            raise TableError(
                f"fit.data={data} matches {len(matching)} kinds of data; expected one of: {options}"
            )
        chosen = matching[0]
    label = chosen.split(" ")[0]
    other = group != chosen
    reason = runs["data"].astype(str).map(lambda name: f"trained on {name}, this fit is of {label}")
    return table.without(other, reason)


def _evaluated(runs: pd.DataFrame, condition: str) -> pd.Series:
    try:
        mask = runs.eval(condition)
    except Exception as error:  # pandas raises whatever the expression's evaluation happens to
        raise TableError(
            f"fit.where={condition!r} can't be evaluated ({error}); "
            f"expected a condition on columns, such as 'n_tokens > 1e6'"
        ) from error
    if not isinstance(mask, pd.Series) or mask.dtype != bool:
        raise TableError(
            f"fit.where={condition!r} is not a condition; write for example 'loss < 4'"
        )
    return mask


def _read_sweep(directory: Path) -> LossTable:
    if not directory.is_dir():
        raise TableError(f"sweep={directory} is not a directory; expected a sweep's results")
    path = directory / "runs.parquet"
    collect = f"run: python -m sweeps out={directory} action=collect"
    if not path.exists():
        raise TableError(f"{path} is missing; {collect}")
    runs = _read_frame(path)
    if len(runs) == 0:
        raise TableError(f"{path} has no rows; train the sweep first, then {collect}")
    records = list((directory / "runs").glob("**/record.json"))
    newest = max((record.stat().st_mtime for record in records), default=0.0)
    warnings = []
    if newest > path.stat().st_mtime + 1:
        warnings.append(f"{path} is older than some of the sweep's runs; {collect}")
    curves_path, evals_path = directory / "curves.parquet", directory / "evals.parquet"
    empty = pd.DataFrame({name: [] for name in CURVE_COLUMNS})
    return LossTable(
        runs=runs,
        curves=_read_curves(curves_path) if curves_path.exists() else empty,
        warnings=tuple(warnings),
        evals=_read_frame(evals_path) if evals_path.exists() else pd.DataFrame(),
    )


def _read_curves(path: Path) -> pd.DataFrame:
    """Validation losses along training; runs as categories, since there may be millions of rows."""
    try:
        points = pq.read_table(path, columns=list(CURVE_COLUMNS), read_dictionary=["run_id"])
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"{path} can't be read ({error}); collect the sweep again") from error
    return points.filter(
        pc.and_(pc.is_finite(points["loss"]), pc.greater(points["loss"], 0))
    ).to_pandas()


def _read_frame(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise TableError(f"table={path} is not a file; expected a csv or parquet file of runs")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        separator = "\t" if path.suffix == ".tsv" else ","
        return pd.read_csv(path, sep=separator)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TableError(
            f"{path} can't be read as a table ({error}); expected csv or parquet"
        ) from error


def _renamed(frame: pd.DataFrame, columns: Mapping[str, str], source: str) -> pd.DataFrame:
    for name, theirs in columns.items():
        if theirs not in frame:
            near = difflib.get_close_matches(theirs, map(str, frame.columns), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TableError(
                f"{source} has no column {theirs!r} (asked for as {name}){hint} "
                f"It has: {', '.join(map(str, frame.columns))}"
            )
    taken = frame.drop(columns=[c for c in columns if c in frame and columns[c] != c])
    return taken.rename(columns={theirs: name for name, theirs in columns.items()})


def _completed(frame: pd.DataFrame, source: str) -> tuple[pd.DataFrame, list[str]]:
    """The frame with all of n_params, n_tokens, flops; and a warning where they disagree."""
    frame = frame.copy()
    given = [name for name in ("n_params", "n_tokens", "flops") if name in frame]
    if len(given) < 2 or "loss" not in frame:
        missing = [name for name in ("n_params", "n_tokens", "loss") if name not in frame]
        raise TableError(
            f"{source} has no column {', '.join(missing)}; it has: "
            f"{', '.join(map(str, frame.columns))}. Name them with "
            f'table.columns={{{missing[0]}: "their name"}}'
        )
    for name in (*given, "loss"):
        # As floats: the product of integer N and D overflows 64 bits from about 1e18.
        frame[name] = pd.to_numeric(frame[name], errors="coerce").astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        if "flops" not in frame:
            frame["flops"] = 6 * frame["n_params"] * frame["n_tokens"]
        elif "n_tokens" not in frame:
            frame["n_tokens"] = frame["flops"] / (6 * frame["n_params"])
        elif "n_params" not in frame:
            frame["n_params"] = frame["flops"] / (6 * frame["n_tokens"])
        ratio = frame["flops"] / (6 * frame["n_params"] * frame["n_tokens"])
    off = int(((ratio > 3) | (ratio < 1 / 3)).sum())
    if not off:
        return frame, []
    return frame, [
        f"{off} of {len(frame)} rows have FLOPs more than 3 times off 6 N D (median ratio "
        f"{ratio.median():.3g}); check the units of n_params, n_tokens and flops"
    ]


def _holds_curves(frame: pd.DataFrame) -> bool:
    """Whether runs recur along training: each name several times, at different token counts."""
    repeated = frame["run_id"].duplicated(keep=False)
    if repeated.mean() < 0.5:
        return False
    return not frame[repeated].duplicated(["run_id", "n_tokens"]).any()


def _only_finished(table: LossTable) -> LossTable:
    status = table.runs["status"].astype(str)
    message = (
        table.runs.get("message", pd.Series("", index=table.runs.index)).fillna("").astype(str)
    )
    reason = "status " + status + message.map(lambda text: f": {text}" if text else "")
    return table.without(status != "finished", reason)
