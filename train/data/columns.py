"""One column of parquet files, arrow files, and datasets that Hugging Face saved to disk."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from train.config.spec import SpecError

DESCRIPTIONS = ("dataset_info.json", "state.json", "dataset_dict.json")
"""What `save_to_disk` writes about the rows beside them."""


def column_chunks(path: Path, kind: str, field: str) -> Iterator[tuple[Any, float]]:
    """Arrow arrays of a column in order, and the share of the rows that each one ends at.

    Arrow files are mapped into memory and not copied; parquet is decoded batch by batch.

    Args:    kind: parquet, arrow or dataset (a directory that `datasets` saved).
    Raises:  SpecError: no such column, or a directory that holds no dataset.
    """
    if kind == "parquet":
        yield from _parquet(path, field)
        return
    files = saved_files(path) if kind == "dataset" else [path]
    for number, file in enumerate(files):
        batches = _arrow_batches(file)
        for batch_number, batch in enumerate(batches):
            _require_column(file, field, batch.schema.names)
            share = (number + (batch_number + 1) / len(batches)) / len(files)
            yield batch.column(field), share


def saved_files(directory: Path) -> list[Path]:
    """The arrow files of a dataset that `save_to_disk` wrote, in its order.

    Raises:  SpecError: no dataset lies there, or several splits do.
    """
    splits = directory / "dataset_dict.json"
    if splits.is_file():
        names = ", ".join(json.loads(splits.read_text(encoding="utf-8"))["splits"])
        raise SpecError(f"{directory} holds several splits ({names}); name one: {directory}/SPLIT")
    files = _rows_files(directory)
    if not files:
        raise SpecError(
            f"{directory} is a directory and no dataset that save_to_disk wrote (no state.json "
            f"that names files); name its files, for example {directory}/*.jsonl.gz"
        )
    return [directory / name for name in files]


def rows_alone(paths: list[Path]) -> list[Path]:
    """Files without what `datasets` keeps beside the rows of a saved dataset.

    Beside them lie descriptions in JSON, which look like text, and the results of `map`.
    """
    rows = {folder: _rows_files(folder) for folder in {path.parent for path in paths}}
    kept = []
    for path in paths:
        own = rows[path.parent]
        of_splits = path.name in DESCRIPTIONS and any(
            _rows_files(state.parent) for state in path.parent.glob("*/state.json")
        )
        if path.name in own or not (own or of_splits):
            kept.append(path)
    return kept


def _rows_files(directory: Path) -> list[str]:
    """The names that state.json gives; none where it is some other file."""
    try:
        state = json.loads((directory / "state.json").read_text(encoding="utf-8"))
        return [row["filename"] for row in state["_data_files"]]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _parquet(path: Path, field: str) -> Iterator[tuple[Any, float]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        _require_column(path, field, file.schema_arrow.names)
        n_rows, seen = max(1, file.metadata.num_rows), 0
        for batch in file.iter_batches(columns=[field], batch_size=1024):
            seen += len(batch)
            yield batch.column(0), seen / n_rows


def _arrow_batches(path: Path) -> list[Any]:
    """Record batches of an arrow file or stream, mapped into memory."""
    import pyarrow as pa

    mapped = pa.memory_map(str(path))
    if mapped.read(6) == b"ARROW1":
        reader = pa.ipc.open_file(mapped)  # reads the footer, wherever the position is
        return [reader.get_batch(i) for i in range(reader.num_record_batches)]
    mapped.seek(0)
    return list(pa.ipc.open_stream(mapped))


def _require_column(path: Path, field: str, names: list[str]) -> None:
    if field not in names:
        meant = " (token ids are read by data=tokens)" if "input_ids" in names else ""
        raise SpecError(
            f"{path} has no column {field!r}; it has: {', '.join(names)}{meant}; "
            f"choose one with options.field"
        )
