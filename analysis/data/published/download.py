"""A published table as a file of this project's columns: found, or downloaded once and checked.

    table = read_published("hoffmann2022")

Looked for in the folder of $ISOFLOP_PUBLISHED, then in the user's cache (`cache_dir`), then where
it was published. What was downloaded is known by its SHA-256, its rows by a digest, and both stay
in the cache: a second time needs no network.
"""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.loss_table import LossTable
from analysis.data.published.registry import PREFIX, PublishedTable, RemoteFile, find_table
from analysis.data.readers import read_file
from analysis.data.reading.understand import AS_IT_SAYS, TableOptions
from analysis.data.table_error import TableError
from train.data.file_io import cache_dir, checksum
from train.rundir.atomic import write_atomic

FOLDER_VARIABLE = "ISOFLOP_PUBLISHED"
TIMEOUT = 30.0
"""Seconds without an answer before a download fails; the tables take well under one each."""


def read_published(name: str, options: TableOptions = AS_IT_SAYS) -> LossTable:
    """The runs of a published table; `options` may choose others of its columns.

    Raises:  TableError: see `table_file`; a table that holds no runs of a size and a length.
    """
    table, path = find_table(name), table_file(name)
    if table.kind != "runs":
        raise TableError(
            f"{PREFIX}{table.name} holds {table.title}, which no law in N and D can be fitted to; "
            f"its rows lie in {path}"
        )
    return replace(read_file(path, options), sources=(f"{PREFIX}{table.name}",))


def table_file(name: str) -> Path:
    """Where the rows of a published table lie, as csv in this project's columns.

    Raises:  TableError: an unknown name, no network, a file other than the one recorded, a cache
             that can't be written.
    """
    return _table_file(find_table(name), _given_folder(), cache_dir() / "published")


def published_path(path: str) -> Path:
    """The file that table=PATH stands for: a published table's where it is `published:NAME`."""
    return table_file(path) if path.startswith(PREFIX) else Path(path)


def _table_file(table: PublishedTable, given: Path | None, cache: Path) -> Path:
    kept = cache / table.name / table.file
    for file in (given / table.file if given else None, kept):
        if file is not None and file.is_file():
            _require_rows(table, file, file)
            return file
    parts = [_found(table, remote, given, kept.parent) for remote in table.files]
    frame = table.convert([_read(path) for path in parts])
    write_atomic(kept, frame.to_csv(index=False))
    try:
        _require_rows(table, kept, parts[0])
    except TableError:
        kept.unlink()
        raise
    return kept


def _found(table: PublishedTable, remote: RemoteFile, given: Path | None, folder: Path) -> Path:
    """The file as published: of the given folder, or of the cache, downloaded where missing."""
    own = given / remote.name if given else None
    if own is not None and own.is_file():
        if remote.sha256 is not None and checksum(own) != remote.sha256:
            raise TableError(
                f"{own} has SHA-256 {checksum(own)}; expected {remote.sha256}, that of "
                f"{remote.url}: replace it, or unset {FOLDER_VARIABLE}"
            )
        return own
    return _downloaded(table, remote, folder / remote.name)


def _downloaded(table: PublishedTable, remote: RemoteFile, path: Path) -> Path:
    # Imported here: pooch loads requests, which no other command of the analysis needs.
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    known = None if remote.sha256 is None else f"sha256:{remote.sha256}"
    opened: list[requests.Response] = []
    get: Any = pooch.HTTPDownloader(
        progressbar=True,
        timeout=TIMEOUT,
        hooks={"response": lambda response, **_: opened.append(response)},
    )
    try:
        pooch.retrieve(remote.url, known, path.name, path.parent, downloader=get)
    except requests.RequestException as error:
        other = "; the file there is not the one recorded" if path.exists() else ""
        raise TableError(
            f"{PREFIX}{table.name} can't be downloaded from {remote.url} ({_reason(error)}). "
            f"Without a network, fetch that file elsewhere and place it at {path}{other}, or set "
            f"{FOLDER_VARIABLE} to a folder that holds {remote.name}"
        ) from error
    except ValueError as error:
        raise TableError(
            f"{remote.url} gave another file than the one recorded (expected SHA-256 "
            f"{remote.sha256}); nothing was kept: try again, or set {FOLDER_VARIABLE} to a folder "
            f"that holds {remote.name}"
        ) from error
    except OSError as error:
        raise TableError(
            f"{path} can't be written ({error.strerror or error}); set ISOFLOP_CACHE to a folder "
            f"that can"
        ) from error
    finally:
        # pooch leaves an answer that it refuses unread, and its connection open.
        for response in opened:
            response.close()
    return path


def digest(frame: pd.DataFrame) -> str:
    """SHA-256 of a table's header and rows; numbers to ten digits, so that last bits may differ."""
    return hashlib.sha256(frame.to_csv(index=False, float_format="%.10g").encode()).hexdigest()


def _require_rows(table: PublishedTable, path: Path, origin: Path) -> None:
    found = digest(_read(path))
    if found != table.digest:
        raise TableError(
            f"{origin} does not hold the rows of {PREFIX}{table.name} (digest {found[:16]}; "
            f"expected {table.digest[:16]}): delete it and run the command again"
        )


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix in (".json", ".jsonl"):
            return pd.read_json(path, lines=path.suffix == ".jsonl", precise_float=True)
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TableError(f"{path} can't be read ({reason}): delete it and run it again") from error


def _given_folder() -> Path | None:
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder).expanduser() if folder else None


def _reason(error: Exception) -> str:
    """The innermost cause in few words; requests nests the useful one."""
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__ or cause
    return (str(cause).splitlines() or [type(cause).__name__])[0]
