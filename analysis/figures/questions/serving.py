"""Figures of sizes off the optimum: the price of training them, and total cost with inference."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    VERMILION,
    log_ticks,
    new_figure,
    styled,
)
from analysis.fits.serving import FORWARD, cheapest_to_serve, size_price, tokens_of_loss
from analysis.format import count_label, number
from analysis.studies.serving.serving import Serving, ServingPlan

FACTORS = np.geomspace(0.125, 8, 241)
MOST_PLANS = 5
MOST_PRICE = 6.0
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION)


def serving_figure(made: Serving) -> Figure:
    """Training compute of a size against its distance from the optimum; beside it, where plans
    were asked for, total cost against size with each plan's minimum.
    """
    plans = [plan for plan in made.plans if np.isfinite(plan.n_params)][:MOST_PLANS]
    with styled():
        width = 10.0 if plans else 5.6
        figure, panels = new_figure(2 if plans else 1, width, 4.2)
        _draw_price(panels[0], made)
        if plans:
            _draw_costs(panels[1], made, plans)
        return figure


def _draw_price(axes: Axes, made: Serving) -> None:
    price = np.asarray(size_price(made.surface, FACTORS).compute)
    if made.draws is not None:
        drawn = np.array([np.asarray(size_price(made.draws, f).compute) for f in FACTORS])
        low, high = np.nanquantile(drawn, [0.025, 0.975], axis=1, method="nearest")
        axes.fill_between(
            FACTORS, low, np.minimum(high, 10 * MOST_PRICE), color=GREEN, alpha=0.18, lw=0,
            label="95 %",
        )  # fmt: skip
    axes.plot(FACTORS, price, color=GREEN, label=f"{made.approach} law")
    axes.scatter([1], [1], marker="D", s=30, color=INK, zorder=4)
    axes.set(xscale="log", yscale="log", ylim=(0.93, MOST_PRICE))
    axes.set(xlabel=r"size over the optimal size, $N / N_{opt}$")
    axes.set(ylabel="training compute over the least, same loss")
    axes.set_title("The price of another size")
    sizes, steps = [0.125, 0.25, 0.5, 1, 2, 4, 8], [1, 1.2, 1.5, 2, 3, 4, 5]
    axes.set_xticks(sizes, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axes.set_yticks(steps, [f"{step:g}" for step in steps])
    axes.set_xticks([], minor=True)
    axes.set_yticks([], minor=True)
    axes.legend(loc="upper center")


def _draw_costs(axes: Axes, made: Serving, plans: list[ServingPlan]) -> None:
    surface = made.surface
    sizes = np.array([plan.n_params for plan in plans])
    for plan, colour in zip(plans, COLOURS, strict=False):
        fine = np.geomspace(sizes.min() / 8, sizes.max() * 8, 600)
        tokens = np.asarray(tokens_of_loss(surface, plan.loss, fine))
        per_token = np.asarray(surface.cost.flops(fine, 1.0))
        total = per_token * (tokens + FORWARD * plan.inference_tokens)
        near = total < 12 * plan.total_flops
        label = (
            f"loss {number(plan.loss, 4)}, {count_label(plan.inference_tokens)} tokens served"
            if plan.inference_tokens
            else f"loss {number(plan.loss, 4)}, none served"
        )
        axes.plot(fine[near], total[near], color=colour, label=label)
        axes.scatter(
            [plan.n_params], [plan.total_flops], marker="D", s=34, color=colour, ec="white",
            zorder=4,
        )  # fmt: skip
        usual = float(cheapest_to_serve(surface, plan.loss).n_params)
        cost = np.interp(np.log(usual), np.log(fine), total)
        axes.scatter([usual], [cost], marker="o", s=26, facecolor="none", ec=GREY, zorder=4)
    axes.scatter([], [], marker="D", s=34, color=INK, label="cheapest in all")
    axes.scatter([], [], marker="o", s=26, facecolor="none", ec=GREY, label="cheapest to train")
    axes.set(xscale="log", yscale="log", xlabel="parameters N")
    axes.set(ylabel="training + inference (FLOPs)", title="Total cost of the same loss")
    log_ticks(axes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
