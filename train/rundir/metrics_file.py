"""metrics.jsonl while its run writes it: rows are appended, and cut back to a state on resume."""

import json
import os
from pathlib import Path
from typing import Any

from train.rundir.atomic import RecordError


class MetricsFile:
    """An open metrics.jsonl, cut to the bytes that the restored state knows.

    Raises:  RecordError: the file is shorter than that, or can't be written.
    """

    def __init__(self, path: Path, keep_bytes: int) -> None:
        self._path = path
        problem = shortened(path, keep_bytes)
        if problem:
            raise RecordError(f"{problem}; restore it, or delete the run's state/ to start over")
        try:
            self._file = path.open("r+b" if path.exists() else "w+b")
            self._file.truncate(keep_bytes)
            self._file.seek(keep_bytes)
        except OSError as error:
            raise self._unwritable(error) from error

    def write(self, row: dict[str, Any]) -> None:
        """Append one row.

        Raises:  RecordError: the disk is full, or the file can't be written.
        """
        try:
            self._file.write((json.dumps(row) + "\n").encode())
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def sync(self) -> int:
        """Flush to disk; returns the length that a checkpoint may rely on.

        Raises:  RecordError: the disk is full, or the file can't be written.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            return self._file.tell()
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Flush to disk and close.

        Raises:  RecordError: what was written last did not reach the disk.
        """
        try:
            self.sync()
        finally:
            # Closing flushes too: it fails like the flush before it, which has been reported.
            try:
                self._file.close()
            except OSError as error:
                raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> RecordError:
        return RecordError(f"can't write {self._path}: {error.strerror or error}")


def shortened(path: Path, n_bytes: int) -> str:
    """Why metrics.jsonl lacks rows that a state of so many bytes was saved after; empty if none.

    A power cut may leave the length of a file and zeros in it: the last byte must end a row.
    """
    if n_bytes == 0:
        return ""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < n_bytes:
                return f"{path} has {size} bytes, the state was saved when it had {n_bytes}"
            file.seek(n_bytes - 1)
            if file.read(1) != b"\n":
                return f"{path} has no end of a row at byte {n_bytes}, where the state was saved"
    except OSError as error:
        return f"{path} can't be read ({error.strerror or error})"
    return ""
