"""One figure an experiment of induced emergence: the sharp metric beside the smooth one."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from analysis.emergence.score import mean_by
from analysis.figures import style
from eval.induced.records import Experiment, Score

NAMES = {
    "within_c": "share reconstructed within c = {}",
    "squared_error": "mean squared pixel error",
    "all_of_k": "probability that all of {} are right",
    "accuracy": "accuracy of one image",
}


def draw(experiment: Experiment, scores: list[Score], summary: dict[str, Any]) -> Figure:
    """Both metrics over width: seeds as points, their mean as a line, the emergence score above."""
    with style.styled():
        figure, panels = style.new_figure(2, height=3.6)
        for axes, metric, colour in zip(
            panels,
            (experiment.sharp, experiment.smooth),
            (style.VERMILION, style.BLUE),
            strict=True,
        ):
            own = [score for score in scores if score.metric == metric]
            x, y = np.array([(s.width, s.value) for s in own]).T
            axes.scatter(x, y, color=colour, s=18, alpha=0.7, label="one seed")
            axes.plot(*mean_by(x, y), color=colour, label="mean over seeds")
            axes.set_xscale("log")
            axes.set_xticks(experiment.widths)
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel(experiment.scale)
            axes.set_ylabel(NAMES[metric].format(experiment.parameter))
            score = summary[metric]["emergence_score"]
            shown = score if isinstance(score, str) else f"{score:.1f}"
            axes.set_title(f"emergence score {shown}")
        panels[0].legend(loc="best")
        figure.suptitle(experiment.title, fontsize=11)
    return figure


def save_figure(
    experiment: Experiment, scores: list[Score], summary: dict[str, Any], out: Path
) -> None:
    """The figure as NAME.png and NAME.svg under `out`."""
    figure = draw(experiment, scores, summary)
    out.mkdir(parents=True, exist_ok=True)
    for kind in ("png", "svg"):
        figure.savefig(out / f"{experiment.name}.{kind}", dpi=150, facecolor="white")
