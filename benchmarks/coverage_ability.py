"""How often the intervals of abilities in two steps hold the truth.

    python -m benchmarks.coverage_ability [n_replicates]

Ladders of N x D on a known surface of the task's loss, a known second step, noise of runs on the
loss and binomial noise of the items on the accuracy; asked for the accuracy of a run of four times
the largest N on eight times its D, and of another run there. (Percentile intervals of the direct
law held the truth in 17, 17, 93 and 52 % of 30 draws of these ladders, so it is given none.)
"""

import sys
from dataclasses import dataclass

import numpy as np

from analysis.fits.surface import Surface
from analysis.studies.ability.points import AbilityPoints
from analysis.studies.ability.two_steps import fit_two_steps, predict_ability
from analysis.studies.fit_config import FitConfig
from analysis.studies.questions.prediction import Point


@dataclass(frozen=True)
class Ladder:
    """A task on a ladder: its loss, its second step, its noise, its items."""

    name: str
    surface: Surface
    kind: str
    step: tuple[float, ...]
    sizes: int
    lengths: int
    noise: float
    n_items: int
    chance: float = float("nan")

    def accuracy(self, loss: np.ndarray) -> np.ndarray:
        """The true second step."""
        if self.kind == "tokens":
            bottom, length = self.step
            return bottom + (1 - bottom) * np.exp(-length * loss)
        top, bottom, k, x0 = self.step
        return bottom + (top - bottom) / (1 + np.exp(k * (loss - x0)))


BPB = Surface(0.45, 30.0, 60.0, 0.25, 0.22)
LADDERS = (
    Ladder("5 sizes x 5 lengths, sigmoid", BPB, "sigmoid", (0.95, 0.25, 6.0, 0.95), 5, 5, 0.006,
           5000),
    Ladder("the same, chance known", BPB, "sigmoid", (0.95, 0.25, 6.0, 0.95), 5, 5, 0.006, 5000,
           0.25),
    Ladder("6 x 5, few items", BPB, "sigmoid", (0.9, 0.35, 5.0, 1.0), 6, 5, 0.01, 1200),
    Ladder("5 x 5, independent tokens", Surface(0.05, 60.0, 80.0, 0.3, 0.27), "tokens",
           (0.0, 4.0), 5, 5, 0.02, 3000),
)  # fmt: skip


def replicate(ladder: Ladder, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """For each interval of one draw: does it hold the truth, and its width."""
    sizes = np.geomspace(2e8, 3e9, ladder.sizes)
    n = np.repeat(sizes, ladder.lengths)
    d = n * np.tile(np.geomspace(10, 200, ladder.lengths), ladder.sizes)
    loss = np.asarray(ladder.surface.loss(n, d)) * np.exp(ladder.noise * rng.normal(size=len(n)))
    accuracy = rng.binomial(ladder.n_items, ladder.accuracy(loss)) / ladder.n_items
    points = AbilityPoints("task", "bpb", "accuracy", n, d, loss, accuracy, np.arange(len(n)),
                           ladder.chance)  # fmt: skip
    made = fit_two_steps(points, FitConfig(n_resamples=400), ladder.kind)
    if made.reason:
        return {f"refused: {made.reason.split(':')[0]}": (1.0, np.nan)}
    point = Point(4 * n.max(), 8 * d.max())
    found = predict_ability(made, point, int(rng.integers(1 << 30)))
    true_loss = float(ladder.surface.loss(point.n_params, point.n_tokens))
    truth = float(ladder.accuracy(np.array([true_loss]))[0])
    own_loss = true_loss * np.exp(ladder.noise * rng.normal())
    own = rng.binomial(ladder.n_items, ladder.accuracy(np.array([own_loss]))[0]) / ladder.n_items
    return {
        "loss": _judged(found.loss_interval, true_loss),
        "accuracy, of the law": _judged(found.confidence, truth),
        "accuracy, of a run": _judged(found.run, float(own)),
    }


def _judged(interval: tuple[float, float], truth: float) -> tuple[float, float]:
    low, high = interval
    return float(low <= truth <= high) if np.isfinite(low) else np.nan, high - low


def main(n_replicates: int) -> None:
    """Print coverage and median width of every interval on every ladder."""
    for ladder in LADDERS:
        rng, seen = np.random.default_rng(1), {}
        for _ in range(n_replicates):
            for name, judged in replicate(ladder, rng).items():
                seen.setdefault(name, []).append(judged)
        print(f"\n{ladder.name}, {n_replicates} replicates")
        for name, judged in seen.items():
            cover, width = np.array(judged).T
            print(f"  {name:30} {np.nanmean(cover):6.1%} of {np.isfinite(cover).sum():4}  "
                  f"width {np.nanmedian(width):.3g}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
