"""JSON and JSON lines as frames: records, columns, split tables and records by name."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.table_error import TableError

_WRAPPERS = ("data", "runs", "records", "rows", "results")


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Scalars of nested mappings under dotted keys; lists and other objects are left out."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        elif value is None or isinstance(value, str | int | float | np.generic):
            flat[f"{prefix}{key}"] = value
    return flat


def json_frame(text: str, source: str) -> pd.DataFrame:
    """A JSON document, or one JSON object per line, as a frame.

    Raises:
        TableError: Not JSON, or of a shape that is no table.
    """
    try:
        try:
            content = json.loads(text)
        except json.JSONDecodeError:
            lines = [line for line in text.splitlines() if line.strip()]
            if len(lines) < 2:
                raise
            content = [json.loads(line) for line in lines]
        return pd.DataFrame(_columns(content))
    except (ValueError, RecursionError, TypeError, OverflowError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TableError(
            f"{source} can't be read as JSON ({reason}); expected a list of records, columns, or "
            f"one record per line"
        ) from error


def _columns(content: Any) -> dict[str, list[Any]]:
    if isinstance(content, Mapping):
        if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
            return _columns([content["columns"], *content["data"]])
        lists = [key for key, value in content.items() if isinstance(value, list)]
        wrapped = [key for key in lists if str(key).lower() in _WRAPPERS]
        if len(wrapped) == 1 and any(isinstance(v, Mapping | list) for v in content[wrapped[0]]):
            return _columns(content[wrapped[0]])
        if lists and len({len(content[key]) for key in lists}) == 1 and len(lists) == len(content):
            return {str(key): [_scalar(v) for v in value] for key, value in content.items()}
        values = list(content.values())
        if values and all(isinstance(value, Mapping) for value in values):
            return _of_mappings(content)
        if values and not any(isinstance(value, list) for value in values):
            return _columns([content])  # one record alone, as a file of JSON lines may hold
        raise ValueError("an object whose values are neither columns of one length nor records")
    if not isinstance(content, list) or not content:
        raise ValueError("no list of records")
    if all(isinstance(row, list) for row in content):
        header, *rows = content
        if any(len(row) != len(header) for row in rows):
            raise ValueError("lists of unlike lengths")
        return {str(name): [_scalar(row[i]) for row in rows] for i, name in enumerate(header)}
    if not all(isinstance(row, Mapping) for row in content):
        raise ValueError("a list of other things than records")
    records = [flattened(row) for row in content]
    names = list(dict.fromkeys(name for record in records for name in record))
    return {name: [record.get(name) for record in records] for name in names}


def _of_mappings(content: Mapping[str, Any]) -> dict[str, list[Any]]:
    """{column: {row: value}}, as pandas writes, or {name: record}; told by where texts are."""
    keys = [list(map(str, value)) for value in content.values()]
    if len(keys) > 1 and all(k == keys[0] for k in keys) and all(k.isdigit() for k in keys[0]):
        return {str(name): [_scalar(v) for v in value.values()] for name, value in content.items()}
    return _columns([{"name": name, **value} for name, value in content.items()])


def _scalar(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else str(value)[:60]
