"""What an intervention is worth: least losses of both sides in compute, and their ratio."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import BLUE, INK, VERMILION, log_ticks, new_figure, styled
from analysis.format import number
from analysis.studies.multiplier.multiplier import ComputeMultiplier


def draw_multiplier(names: Sequence[str], made: ComputeMultiplier, unit: str) -> Figure:
    """Left: least loss in compute of A and B, an arrow between equal losses; right: m(C)."""
    points, head = made.points, made.headline
    assert head is not None
    flops, loss, equal, value = (
        np.array([getattr(point, key) for point in points])
        for key in ("flops", "loss", "equal_flops", "value")
    )
    low, high = np.array([point.interval for point in points]).T
    with styled():
        figure, (left, right) = new_figure(2, width=10, height=4.0)
        left.plot(flops, loss, color=BLUE, label=_plain(names[0]))
        left.plot(equal, loss, color=VERMILION, ls="--", label=_plain(names[1]))
        left.annotate(
            "", (head.equal_flops, head.loss), (head.flops, head.loss),
            arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.2},
        )  # fmt: skip
        middle = float(np.sqrt(head.flops * head.equal_flops))
        left.annotate(
            f"× {number(head.value)}", (middle, head.loss), (0, -6), textcoords="offset points",
            ha="center", va="top", color=INK,
        )  # fmt: skip
        left.set(xscale="log", xlabel="compute C (FLOPs)", ylabel=f"least loss ({unit})")
        left.margins(y=0.12)
        left.set_title("Loss that compute buys at its best")
        right.axhline(1, color=INK, lw=0.9, ls=":")
        right.fill_between(flops, low, high, color=VERMILION, alpha=0.18, lw=0)
        right.plot(flops, value, color=VERMILION)
        right.errorbar(
            [head.flops], [head.value],
            [[head.value - head.interval[0]], [head.interval[1] - head.value]],
            fmt="o", color=VERMILION, capsize=3,
        )  # fmt: skip
        right.set(xscale="log", yscale="log", xlabel=f"compute of {_plain(names[0])} (FLOPs)")
        right.set(ylabel="compute multiplier", title="How much less compute the second needs")
        for axes in (left, right):
            log_ticks(axes, "x")
        _ratio_ticks(right)
        left.legend()
        return figure


def _ratio_ticks(axes: Axes) -> None:
    """Plain labels at round ratios, at most seven of them."""
    low, high = axes.get_ylim()
    steps = (1, 1.1, 1.2, 1.3, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    fine = sorted(round(step * 10.0**power, 9) for power in range(-3, 4) for step in steps)
    shown = [tick for tick in fine if low <= tick <= high]
    kept = shown[:: -(-len(shown) // 7) or 1]
    if low <= 1 <= high and 1.0 not in kept:
        kept = sorted([*kept, 1.0])
    axes.set_yticks(kept, [f"{tick:.3g}" for tick in kept])
    axes.set_yticks([], minor=True)


def _plain(name: str) -> str:
    return name.replace("$", r"\$")
