"""train.log: everything logged while a run is trained, as long as the disk has room for it."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class _LogFile(logging.FileHandler):
    """A log that is no reason for a run to fail; standard error has every line as well."""

    _said = False

    def emit(self, record: logging.LogRecord) -> None:
        # A file that can't be opened would raise in whoever logs: in the handling of an error, too.
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """One line, once, where logging would print a traceback for every line."""
        if not self._said:
            self._said = True
            print(f"can't write {self.baseFilename}: {sys.exc_info()[1]}", file=sys.stderr)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of lines whose loss was reported
            super().close()


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Everything logged during the block also goes to a file."""
    handler = _LogFile(path, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
