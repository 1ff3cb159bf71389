"""The study's figure: what was predicted before a run began, and what it came to.

    python -m benchmarks.study_figure [prediction=docs/study/prediction-1.json] [out=results]
        [figure=docs/figures/study.svg]

Left, approach 3's prediction of each run with its 95 % interval, and the measured loss. Right, the
error of every law and run, above zero where the law expected a higher loss than came out.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from analysis.figures.style import (
    APPROACH_COLOURS,
    BLUE,
    GREEN,
    INK,
    VERMILION,
    log_ticks,
    loss_ticks,
    new_figure,
    styled,
)
from benchmarks.figures import parse
from benchmarks.study import BUDGETS, laws, measured
from train.rundir.atomic import read_json

CELLS = {
    "alternative-x0.25": ("a quarter of N", "v", BLUE, 0.9),
    "optimum": ("predicted optimum", "o", GREEN, 1.0),
    "alternative-x4": ("four times N", "^", VERMILION, 1.11),
}
"""Label, mark, colour, and the factor by which it stands aside, of each kind of run."""

LAWS = {
    "parametric": ("approach 3", "parametric", 0.93),
    "kaplan": ("Kaplan et al.", "kaplan", 1.07),
    "isoflop, best of the budget": ("approach 2, best of the budget", "isoflop", 1.2),
    "envelope, best of the budget": ("approach 1, best of the budget", "envelope", 0.82),
}

SPAN = (6e12, 1.6e14)
"""FLOPs from the left of both panels to the right."""


def losses_panel(axes: Axes, content: dict[str, Any], losses: Mapping[str, Any]) -> None:
    """Predicted (open, with intervals) and measured (filled) losses against compute."""
    for kind, (label, mark, colour, aside) in CELLS.items():
        for cell in content["cells"]:
            if cell["cell"] != kind:
                continue
            one = next(law for law in laws(content, cell) if law["law"] == "parametric")
            x, (low, high) = cell["budget"] * aside, one["interval"]
            axes.plot([x, x], [low, high], color=colour, lw=1.2, alpha=0.6)
            axes.plot(x, one["loss"], mark, mfc="white", mec=colour, ms=6)
            loss = losses.get(cell["run_id"])
            if isinstance(loss, float):
                axes.plot(x, loss, mark, color=colour, ms=6)
        axes.plot([], [], mark, color=colour, label=label)
    axes.plot([], [], "s", mfc="white", mec=INK, label="predicted, with 95 % interval")
    axes.plot([], [], "s", color=INK, label="measured")
    axes.set(xscale="log", yscale="log", xlabel="FLOPs of a run", ylabel="loss, nats a byte")
    axes.set_title("Approach 3, fitted to 1e12 FLOPs and less", loc="left")
    axes.set_xlim(*SPAN)
    log_ticks(axes, "x")
    loss_ticks(axes)
    axes.legend(fontsize=7.5, loc="upper right")


def errors_panel(axes: Axes, content: dict[str, Any], losses: Mapping[str, Any]) -> None:
    """ln(predicted / measured) in per cent, by law and kind of run."""
    for law, (label, colour, aside) in LAWS.items():
        for cell in content["cells"]:
            loss = losses.get(cell["run_id"])
            for one in laws(content, cell):
                if one["law"] == law and isinstance(loss, float):
                    error = 100 * np.log(one["loss"] / loss)
                    mark = CELLS[cell["cell"]][1]
                    axes.plot(cell["budget"] * aside, error, mark, color=APPROACH_COLOURS[colour])
        axes.plot([], [], "s", color=APPROACH_COLOURS[colour], label=label)
    axes.axhline(0, color=INK, lw=0.8)
    axes.set(xscale="log", xlabel="FLOPs of a run", ylabel="predicted over measured, %")
    axes.set_title("Errors, by law; marks as on the left", loc="left")
    axes.set_xlim(*SPAN)
    log_ticks(axes, "x")
    axes.legend(fontsize=7.5, loc="lower left")


def draw(prediction: Path, losses: Mapping[str, Any], path: Path) -> None:
    """Write the figure of a prediction and the losses that its runs came to, by run_id."""
    content = read_json(prediction)
    with styled():
        figure, (left, right) = new_figure(2, width=9.5, height=4.2)
        losses_panel(left, content, losses)
        errors_panel(right, content, losses)
        figure.savefig(path)


def main(arguments: list[str]) -> int:
    given = parse(arguments, __doc__, ("prediction", "out", "figure"))
    prediction = Path(given.get("prediction", "docs/study/prediction-1.json"))
    path = Path(given.get("figure", "docs/figures/study.svg"))
    losses = measured(Path(given.get("out", "results")), BUDGETS)
    draw(prediction, losses, path)
    planned = [
        losses.get(cell["run_id"], "not yet trained") for cell in read_json(prediction)["cells"]
    ]
    left = [one for one in planned if not isinstance(one, float)]
    print(
        f"{len(planned) - len(left)} of {len(planned)} runs measured", *sorted(set(left)), sep="; "
    )
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
