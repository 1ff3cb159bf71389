"""Items that differ in difficulty: p^L over all of them, and within strata of one difficulty.

Over items with different p_i the mean of p_i^L is above (mean p)^L, so exact match that lies above
p^L may be heterogeneity of items alone. Within strata of like items the gap closes, or what remains
of it is dependence between the tokens of one item.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.emergence.lengths import length_deviation
from analysis.emergence.study import AbilityStudy
from analysis.emergence.token_model import LengthCell

CONTINUATION = "continuation"
ALL = "all"


@dataclass(frozen=True)
class Stratum:
    """A group of items over all models: its cells by model and length, and how far p^L is off.

    `alpha` and `r_squared` are of the law of token loss over N, NaN where the sweep has several
    curves or a law can't be fitted.
    """

    name: str
    cells: list[LengthCell]
    deviation: float
    alpha: float
    r_squared: float


def strata_of(studies: Sequence[AbilityStudy]) -> list[Stratum]:
    """The strata of a continuation task, all items first; curves of one stratum put together."""
    by_name: dict[str, list[AbilityStudy]] = {}
    for study in studies:
        by_name.setdefault(study.ability.operands, []).append(study)
    found = []
    for name in sorted(by_name, key=lambda name: (name != ALL, name)):
        own = by_name[name]
        cells = [cell for study in own for cell in study.lengths]
        law = own[0].model.law if len(own) == 1 and own[0].model else None
        found.append(
            Stratum(
                name=name,
                cells=cells,
                deviation=length_deviation(cells)["geometric"],
                alpha=law.alpha if law else math.nan,
                r_squared=law.r_squared if law else math.nan,
            )
        )
    return [stratum for stratum in found if stratum.cells]
