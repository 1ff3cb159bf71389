"""The one error of everything that reads tables."""

from train.config.spec import IsoflopError


class TableError(IsoflopError):
    """A table of runs that can't be read, or holds nothing to fit."""
