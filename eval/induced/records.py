"""What an induced-emergence experiment is, and what one trained model scored."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eval.induced.datasets import Images
from eval.induced.models import Metrics


@dataclass(frozen=True)
class Experiment:
    """A model over widths, with its sharp and its smooth metric.

    `parameter` is what makes the sharp metric sharp: the bound c or the number k.
    """

    name: str
    title: str
    run: Callable[[Images, int, int, int, Any], Metrics]
    widths: tuple[int, ...]
    n_steps: int
    parameter: float | int
    sharp: str
    smooth: str
    scale: str


@dataclass(frozen=True)
class Score:
    """One metric of one trained model: a row of the table that is written."""

    experiment: str
    width: int
    seed: int
    metric: str
    value: float
