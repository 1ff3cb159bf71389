"""What each checkpoint does at each target length, beside what independent tokens would do."""

import math
from collections.abc import Sequence

import numpy as np

from analysis.emergence.abilities import Ability
from analysis.emergence.token_model import LengthCell, Lengths

MIN_ITEMS = 100
"""Fewer items of a target length than these say too little about it."""


def length_cells(ability: Ability) -> list[LengthCell]:
    """Measured and predicted values of each final checkpoint at each target length with items."""
    cells = []
    for (_, length), rows in ability.by_length().items():
        values = {row.metric: row.value for row in rows if row.position is None}
        by_position = {row.position: row.value for row in rows if row.position is not None}
        n_items = int(max(row.n_items for row in rows))
        needed = {"exact_match", "token_edit_distance", "token_accuracy"}
        positions = range(1, length + 1)
        if n_items < MIN_ITEMS or needed - values.keys() or set(positions) - by_position.keys():
            continue
        cells.append(
            LengthCell(
                run_id=rows[0].run_id,
                n_params=rows[0].n_params,
                length=length,
                n_items=n_items,
                accuracy=values["exact_match"],
                distance=values["token_edit_distance"],
                token_accuracy=values["token_accuracy"],
                position_accuracies=tuple(by_position[i] for i in positions),
                stop_accuracy=values.get("stop_accuracy", 1.0),  # a continuation has no end
                chance=next(r.chance for r in rows if r.metric == "exact_match"),
            )
        )
    return sorted(cells, key=lambda cell: (cell.n_params, cell.length))


def length_shares(ability: Ability) -> Lengths:
    """Share of held-out items with each target length, from the first run's rows."""
    counts: dict[int, float] = {}
    first = ability.rows[0].run_id
    for (run_id, length), rows in ability.by_length().items():
        if run_id == first:
            counts[length] = max(row.n_items for row in rows)
    total = sum(counts.values())
    return {length: n_items / total for length, n_items in counts.items()}


def length_deviation(cells: Sequence[LengthCell]) -> dict[str, float]:
    """Mean absolute deviation of measured from predicted, over all models and lengths."""
    if not cells:
        return dict.fromkeys(("geometric", "product", "quasilinear"), math.nan)
    return {
        "geometric": float(np.mean([abs(c.accuracy - c.geometric) for c in cells])),
        "product": float(np.mean([abs(c.accuracy - c.product) for c in cells])),
        "quasilinear": float(np.mean([abs(c.distance - c.quasilinear) for c in cells])),
    }
