"""A drawn figure with its name, its caption and its description in words."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class FigureSpec:
    """A drawn figure; `name` is its file stem, `alt` says in words what a reader would see.

    `narrow` is the same figure drawn for a phone, its panels one below the other; without it the
    wide one can be scrolled there. Points of it that stand for runs are named by
    `analysis.figures.hover`.
    """

    name: str
    figure: Figure
    alt: str
    caption: str
    narrow: Figure | None = None
