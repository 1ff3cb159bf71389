"""Loss of the best model of each budget against sparsity."""

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.style import BLUE, VERMILION, new_figure, styled
from analysis.studies.sparsity.study import SparsityStudy


def draw_sparsity(study: SparsityStudy, unit: str) -> Figure:
    """A line per budget: the law's loss at the best N and D of each sparsity, with intervals."""
    with styled():
        figure, (axes,) = new_figure(1, width=6.4, height=4.0)
        for flops, colour in zip(study.budgets, (BLUE, VERMILION), strict=False):
            own = [one for one in study.levels if one.flops == flops]
            x, y = np.array([(one.sparsity, one.loss) for one in own]).T
            low, high = np.array([one.loss_interval for one in own]).T
            if np.isfinite(low).all():
                axes.vlines(x, low, high, color=colour, lw=1, alpha=0.6)
            axes.plot(x, y, marker="o", ms=4, color=colour, label=f"{flops:.3g} FLOPs")
        axes.set(xlabel="sparsity: share of parameters that a token does not use")
        axes.set(ylabel=f"loss of the best model ({unit})")
        axes.legend()
        return figure
