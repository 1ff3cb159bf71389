"""Item rows on disk: outcomes to parquet and back, one row per item and split."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from eval.metrics.outcome import Outcome
from train.rundir.atomic import RecordError, write_atomic

_SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("prompt", pa.string()),
        ("target", pa.string()),
        ("answer", pa.string()),
        ("accepted", pa.list_(pa.string())),
        ("target_tokens", pa.list_(pa.int32())),
        ("target_logprobs", pa.list_(pa.float64())),
        ("target_hits", pa.list_(pa.bool_())),
        ("output", pa.string()),
        ("output_tokens", pa.list_(pa.int32())),
        ("output_logprob", pa.float64()),
        ("stopped", pa.bool_()),
        ("choices", pa.list_(pa.string())),
        ("choice_scores", pa.list_(pa.float64())),
        ("choice_logprobs", pa.list_(pa.float64())),
        ("sample_outputs", pa.list_(pa.string())),
        ("sample_stopped", pa.list_(pa.bool_())),
        ("p_true", pa.float64()),
        ("n_leading", pa.int32()),
        ("choice_n_tokens", pa.list_(pa.int32())),
        ("choice_base_logprobs", pa.list_(pa.float64())),
    ]
)


def write_outcomes(path: Path, outcomes: dict[str, list[Outcome]]) -> None:
    """Replace a parquet file by the outcomes of every split, in order, atomically."""
    columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
    for split, given in outcomes.items():
        columns["split"] += [split] * len(given)
        for name in _SCHEMA.names[1:]:
            columns[name] += [getattr(one, name) for one in given]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=_SCHEMA), sink, compression="zstd")
    write_atomic(path, sink.getvalue().to_pybytes())


def read_outcomes(path: Path, layout: str) -> dict[str, list[Outcome]]:
    """Stored outcomes by split; `layout` is the format that they were asked in.

    Raises:  RecordError: missing or unreadable file.
    """
    try:
        table = pq.read_table(path, schema=_SCHEMA)
    except (OSError, pa.ArrowException) as error:
        raise RecordError(
            f"{path} can't be read ({error}); evaluate with overwrite=true"
        ) from error
    by_split: dict[str, list[Outcome]] = {}
    for row in table.to_pylist():
        split = row.pop("split")
        by_split.setdefault(split, []).append(_outcome(row, layout))
    return by_split


def _outcome(row: dict[str, Any], layout: str) -> Outcome:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    # Files of earlier releases have no such columns.
    for name, default in (("n_leading", 0), ("choice_n_tokens", ()), ("choice_base_logprobs", ())):
        fields[name] = fields[name] or default
    return Outcome(**fields, layout=layout)
