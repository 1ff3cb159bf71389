"""What every fit shares: the status that travels with its numbers, and the error of bad input."""

from collections.abc import Callable
from typing import Literal, TypeVar

import numpy as np

from train.config.spec import IsoflopError

Status = Literal["converged", "max_iterations", "bound_hit", "degenerate"]

Fit = TypeVar("Fit")

Numbers = float | np.ndarray
"""One value, or an array of them; every formula here broadcasts."""


class FitError(IsoflopError):
    """Arguments from which nothing can be fitted; a fit that merely failed is a status."""


class FitErrors:
    """Runs fits that may not be possible and keeps the reason of each that was not."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}

    def __call__(self, name: str, fit: Callable[[], Fit]) -> Fit | None:
        try:
            return fit()
        except FitError as error:
            self.missing[name] = str(error)
            return None
