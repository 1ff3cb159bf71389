"""What every fit shares: the status that travels with its numbers, and the error of bad input."""

from typing import Literal

import numpy as np

from train.config.spec import IsoflopError

Status = Literal["converged", "max_iterations", "bound_hit", "degenerate"]


Numbers = float | np.ndarray
"""One value, or an array of them; every formula here broadcasts."""


class FitError(IsoflopError):
    """Arguments from which nothing can be fitted; a fit that merely failed is a status."""
