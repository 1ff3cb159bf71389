"""A table of scores in any form that people keep them in, as typed rows.

Long (model, scale, task, metric, value), wide (one column per score), outputs (prompt, target,
output), and the result files of lm-evaluation-harness and BIG-bench, one file or a directory.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.reading.formats import Cells, decoded, read_cells
from analysis.data.reading.understand import few
from analysis.data.table_error import TableError
from analysis.emergence.tables.columns import ALIASES, score_columns
from analysis.emergence.tables.finish import finished_rows, passing, typed_columns
from analysis.emergence.tables.outputs import scored
from analysis.emergence.tables.result_files import result_paths, results_frame
from analysis.emergence.tables.score_rows import NUMBERS, TEXTS, ScoreRows, ScoreTableError
from analysis.emergence.tables.wide import lengthened, score_headers

_LONG = ("task", "metric", "value")


@dataclass(frozen=True)
class ScoreOptions:
    """How a table of scores is read: conf/analysis.yaml's `table` explains each.

    `columns` maps names to the table's headers; `units` are factors of sizes; `decimal` is the
    decimal mark; `filters` keep rows by value; `models` is a table that is joined by model.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    decimal: str | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    models: str | None = None


AS_IT_SAYS = ScoreOptions()


def is_score_table(path: Path, options: ScoreOptions = AS_IT_SAYS) -> bool:
    """True for a table of metric values over models rather than of training losses.

    False for what can't be read, which the reader of runs then says.
    """
    try:
        if not path.exists():
            return False
        if results_frame(result_paths(path), str(path)) is not None:
            return True
        return not path.is_dir() and form_of(_cells(path).frame, options.columns) is not None
    except (TableError, OSError):
        return False


def form_of(frame: pd.DataFrame, given: Mapping[str, str]) -> str | None:
    """long, outputs or wide; None for a table that is none of scores."""
    named, _ = score_columns(list(map(str, frame)), given)
    if all(name in named for name in _LONG):
        return "long"
    if "target" in named and "output" in named and "model" in named:
        return "outputs"
    if "model" in named and "loss" not in named and score_headers(frame, named):
        return "wide"
    return None


def read_scores(path: Path, options: ScoreOptions = AS_IT_SAYS) -> ScoreRows:
    """Typed rows of a table of scores, of a result file, or of a directory of them.

    Raises:
        TableError: A missing or unreadable file.
        ScoreTableError: Columns that are missing, filters that pass nothing, no usable row.
    """
    if path.is_dir() or path.suffix.lower() == ".json":
        if not path.exists():
            raise TableError(f"table={path} does not exist")
        results = results_frame(result_paths(path), str(path))
        if results is not None:
            return scores_from_frame(results[0], str(path), options, notes=results[1])
        if path.is_dir():
            raise ScoreTableError(
                f"{path} holds no result file of lm-evaluation-harness or BIG-bench; name a table"
            )
    cells = _cells(path)
    return scores_from_frame(cells.frame, str(path), options, cells.separator)


def scores_from_frame(
    frame: pd.DataFrame,
    source: str,
    options: ScoreOptions = AS_IT_SAYS,
    separator: str = "",
    notes: Sequence[str] = (),
) -> ScoreRows:
    """Typed rows from a frame of cells in any of the forms of `form_of`.

    Raises:  ScoreTableError: as `read_scores`.
    """
    lines = list(notes)
    if options.models is not None:
        frame, note = _joined(frame, options)
        lines.append(note)
    _check_given(frame, options, source)
    form = form_of(frame, options.columns)
    named, units = score_columns(list(map(str, frame)), options.columns)
    if form is None:
        missing = [name for name in ("model", *_LONG) if name not in named]
        raise ScoreTableError(
            f"{source} has no column {', '.join(missing)}; it has {few(list(map(str, frame)))}; "
            f"map them, for example 'table.columns={{{missing[0]}: Their name}}'"
        )
    if form == "wide":
        frame, note = lengthened(frame, named)
        lines.append(note)
        named |= {name: name for name in (*_LONG, "n_shots") if name in frame}
    units = {**units, **options.units}
    typed = typed_columns(frame, named, units, separator, options.decimal, source)
    others: Any = frame[[str(name) for name in frame if str(name) not in named.values()]]
    kept = passing(typed, frame, options.filters, source)
    excluded = {"left out by table.filters": int((~kept).sum())}
    typed, others = typed.loc[kept], others.loc[kept]
    if form == "outputs":
        typed, note = scored(typed)
        others = typed[[]]
        lines.append(note)
    by_name = options.columns.get("family") != ""
    return finished_rows(typed, others, named, source, lines, excluded, by_name)


def _cells(path: Path) -> Cells:
    """The cells of a table; of JSON records with lists in them, the lists too."""
    if path.is_file() and path.suffix.lower() in (".jsonl", ".json"):
        try:
            text = decoded(path.read_bytes(), str(path))
            records = [json.loads(line) for line in text.split("\n") if line.strip()]
            if len(records) == 1 and isinstance(records[0], list):
                records = records[0]
            if records and all(isinstance(r, dict) and "output" in r for r in records):
                return Cells(pd.DataFrame(records, dtype=object))
        except (ValueError, RecursionError):
            pass  # not one record per line: the general reader says what is wrong
    return read_cells(path)


def _joined(frame: pd.DataFrame, options: ScoreOptions) -> tuple[pd.DataFrame, str]:
    """The scores with the columns that `models` has of each model.

    Raises:  ScoreTableError: no column of models in one of the two, or a model that stands twice.
    """
    path = Path(str(options.models))
    models = read_cells(path).frame
    ours = score_columns(list(map(str, frame)), _present(frame, options.columns))[0].get("model")
    given = _present(models, options.columns)
    named = score_columns(list(map(str, models)), given)[0]
    theirs = named.get("model")
    if ours is None or theirs is None:
        lacking = "the table of scores" if ours is None else str(path)
        raise ScoreTableError(
            f"{lacking} has no column of models; name it: table.columns={{model: NAME}}"
        )
    twice = models[theirs][models[theirs].duplicated()].astype(str).tolist()
    if twice:
        raise ScoreTableError(
            f"{path} has model {twice[0]!r} more than once; expected one row each"
        )
    # Its sizes alone: its scores would become tasks.
    wanted = ("family", "n_params", "n_tokens", "flops", "loss", "scale", "seed")
    kept = [named[name] for name in wanted if name in named and named[name] not in frame]
    known = models.loc[:, [theirs, *kept]].rename(columns={theirs: ours})
    n_known = sum(frame[ours].isin(known[ours]).tolist())
    note = f"{', '.join(kept)} come from {path}, which has {n_known} of {len(frame)} rows' models"
    return frame.merge(known, on=ours, how="left"), note


def _present(frame: pd.DataFrame, columns: Mapping[str, str]) -> dict[str, str]:
    return {name: header for name, header in columns.items() if header in frame}


def _check_given(frame: pd.DataFrame, options: ScoreOptions, source: str) -> None:
    for name, theirs in options.columns.items():
        if theirs and theirs not in frame:
            raise ScoreTableError(
                f"{source} has no column {theirs!r}, asked for as {name}; it has "
                f"{few(list(map(str, frame)))}"
            )
        if name not in (*TEXTS, *NUMBERS, *ALIASES):
            raise ScoreTableError(
                f"table.columns: {name} is no column of scores; expected one of "
                f"{', '.join(dict.fromkeys((*TEXTS, *NUMBERS, *ALIASES)))}"
            )
