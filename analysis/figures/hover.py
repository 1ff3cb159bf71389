"""Which run each drawn point belongs to: named when it is drawn, read back where it was drawn.

Matplotlib carries one link for each point of a collection, as `#run-<quoted id>`; the report turns
them into what a reader sees on hovering a point.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

import numpy as np
from matplotlib.collections import Collection, LineCollection
from matplotlib.figure import Figure

PREFIX = "#run-"
MOST_MARKS = 4000
"""Points of a figure that can be hovered at most; more lie closer than a fingertip."""

ALONG_A_LINE = 8
"""Places of a run's training curve that name it."""


@dataclass(frozen=True)
class HoverPoint:
    """A point of a figure that stands for a run, in the SVG's own units from the top left."""

    run_id: str
    x: float
    y: float


def link(run_id: str) -> str:
    """The address within the page at which a run is described."""
    return PREFIX + quote(run_id, safe="")


def name_runs(drawn: Collection, run_ids: Iterable[str]) -> None:
    """Say which run each point, or each line, of a collection belongs to, in their order."""
    drawn.set_urls([link(str(run_id)) for run_id in run_ids])


def marks(figure: Figure) -> list[HoverPoint]:
    """Every named point of a figure as it was last drawn, at most MOST_MARKS, evenly chosen."""
    scale = 72 / figure.dpi
    height = figure.bbox.height
    names: list[str] = []
    places = [np.empty((0, 2))]
    for drawn in figure.findobj(Collection):
        urls = drawn.get_urls() if isinstance(drawn, Collection) else None
        if not urls or not str(urls[0]).startswith(PREFIX):
            continue
        which, pixels = _places(drawn)
        inside = _shown(drawn, pixels)
        names += [unquote(str(urls[i]).removeprefix(PREFIX)) for i in which[inside]]
        places.append(pixels[inside])
    x, y = np.concatenate(places).T
    step = -(-len(names) // MOST_MARKS) or 1
    rows = zip(names, (x * scale).tolist(), ((height - y) * scale).tolist(), strict=True)
    return [HoverPoint(*row) for row in list(rows)[::step]]


def _places(drawn: Collection) -> tuple[np.ndarray, np.ndarray]:
    """Places of the named elements: which element, (places,), and where in pixels, (places, 2)."""
    if isinstance(drawn, LineCollection):
        lines = [np.asarray(line, dtype=float) for line in drawn.get_segments()]
        thinned = [
            line[np.unique(np.linspace(0, len(line) - 1, ALONG_A_LINE).astype(int))]
            for line in lines
        ]
        which = np.repeat(np.arange(len(lines)), [len(line) for line in thinned])
        return which, drawn.get_transform().transform(np.concatenate(thinned))
    offsets = np.ma.filled(np.ma.asarray(drawn.get_offsets(), dtype=float), np.nan)
    return np.arange(len(offsets)), drawn.get_offset_transform().transform(offsets)


def _shown(drawn: Collection, pixels: np.ndarray) -> np.ndarray:
    """Which places lie on the axes, (places,)."""
    assert drawn.axes is not None  # collections of a figure are drawn on axes
    box = drawn.axes.bbox
    x, y = pixels[:, 0], pixels[:, 1]
    return (x >= box.x0 - 1) & (x <= box.x1 + 1) & (y >= box.y0 - 1) & (y <= box.y1 + 1)
