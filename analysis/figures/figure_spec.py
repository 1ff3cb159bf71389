"""A drawn figure with its name, its caption and its description in words."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class FigureSpec:
    """A drawn figure; `name` is its file stem, `alt` says in words what a reader would see.

    Points of it that stand for runs are named by `analysis.figures.hover`.
    """

    name: str
    figure: Figure
    alt: str
    caption: str
