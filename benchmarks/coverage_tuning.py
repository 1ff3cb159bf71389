"""How often intervals of tuned learning rates and batches, and of their laws, hold the truth.

    python -m benchmarks.coverage_tuning [n_replicates]

Simulated cells whose log loss is lopsided about the best rate (exp(1.2 u) - 1.2 u - 1 over u the
log of the rate over the best one, so that a parabola is not its form) and a parabola in log batch,
on Step Law's grid of factors sqrt(2), with seeds' noise of .0014 and .004.
"""

import sys
from collections import defaultdict

import numpy as np
import pandas as pd

from analysis.data.readers import from_frame
from analysis.studies.tuning.study import study_tuning

LAW = {"lr": (1.79, -0.713, 0.307), "batch": (0.58, 0.0, 0.571)}
SIZES, TOKENS_PER_PARAM = np.geomspace(6e7, 1e9, 4), np.array([20.0, 60.0, 180.0])


def simulated(noise: float, rng: np.random.Generator, settings: str = "lr batch") -> pd.DataFrame:
    """Runs of twelve cells, each on a grid about its own best rate, off by up to a factor 2."""
    rows = []
    for n in SIZES:
        for ratio in TOKENS_PER_PARAM:
            best = [c * n**p * (ratio * n) ** q for c, p, q in LAW.values()]
            off = rng.uniform(-0.7, 0.7, 2)
            rates = best[0] * np.exp(off[0] + np.linspace(-1.75, 1.75, 11))
            batches = best[1] * np.exp(off[1] + np.linspace(-1.75, 1.75, 9))
            if settings == "lr":
                batches = best[1:]
            for lr in rates:
                for batch in batches:
                    u, v = np.log(lr / best[0]), np.log(batch / best[1])
                    excess = 0.006 * (np.exp(1.2 * u) - 1.2 * u - 1) + 0.003 * v**2
                    rows.append((n, ratio * n, lr, batch, 2.5 * np.exp(excess)))
    frame = pd.DataFrame(rows, columns=["n_params", "n_tokens", "lr", "batch_tokens", "loss"])
    return frame.assign(loss=frame["loss"] * np.exp(rng.normal(0, noise, len(frame))))


def main(n_replicates: int) -> None:
    """Print the coverage of cells' optima and of the exponents, with median widths."""
    for settings in ("lr batch", "lr"):
        for noise in (0.0014, 0.004):
            rng, seen = np.random.default_rng(4), defaultdict(list)
            for _ in range(n_replicates):
                made = study_tuning(from_frame(simulated(noise, rng, settings), "simulated"))
                for cell in made.cells:
                    seen["cells with an optimum"].append((float(not cell.reason), np.nan))
                    for name in settings.split():
                        c, p, q = LAW[name]
                        truth = c * cell.n_params**p * cell.n_tokens**q
                        low, high = getattr(cell, f"{name}_interval")
                        if np.isfinite([low, high]).all():
                            seen[f"{name} of a cell"].append((low <= truth <= high, high / low))
                for name, law in made.laws.items():
                    for key, truth in zip(("n_exponent", "d_exponent"), LAW[name][1:], strict=True):
                        low, high = law.intervals[key]
                        if np.isfinite([low, high]).all():
                            held = (low <= truth <= high, high - low)
                            seen[f"{name}, {key}"].append(held)
            print(f"\nsweeps over {settings}, noise {noise}, {n_replicates} replicates")
            for what, judged in seen.items():
                held, width = np.array(judged, dtype=float).T
                middle = np.nanmedian(width) if np.isfinite(width).any() else np.nan
                print(f"  {what:24} {np.mean(held):6.1%} of {len(held):5}  width {middle:.3g}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
