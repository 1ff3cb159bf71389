"""How often intervals of the law of sparsity hold the truth.

    python -m benchmarks.coverage_sparsity [n_replicates]

Mixtures of experts on a known surface of the law's form: four budgets, four levels of sparsity, six
sizes. Judged are N_opt and the loss of every level at the largest budget and at ten times that.
"""

import sys

import numpy as np
import pandas as pd

from analysis.fits.forms.sparse import SparseLaw
from isoflop import fit_sparsity

LAW = SparseLaw(1.5, 1500.0, 5000.0, 0.4, 8.0, 0.45, 0.38, -0.15, 0.15, 0.18)
LEVELS = (0.0, 0.5, 0.75, 0.9)


def runs(noise: float, rng: np.random.Generator) -> pd.DataFrame:
    """A sweep whose active parameters lie on both sides of the optimum."""
    cells = [(c, s, k) for c in np.geomspace(1e18, 1e20, 4) for s in LEVELS
             for k in np.geomspace(0.05, 1.6, 6)]  # fmt: skip
    frame = pd.DataFrame(cells, columns=["flops", "sparsity", "k"])
    frame["n_params_active"] = frame.k * (frame.flops / 120) ** 0.5
    frame["n_params"] = frame.n_params_active / (1 - frame.sparsity)
    frame["n_tokens"] = frame.flops / (6 * frame.n_params_active)
    columns = (frame[name].to_numpy() for name in ("n_params", "n_tokens", "sparsity"))
    shaken = np.exp(rng.normal(0, noise, len(frame)))
    return frame.assign(loss=LAW.loss(*columns) * shaken, flops_budget=frame.flops)


def truth(flops: float, sparsity: float) -> tuple[float, float]:
    """N_opt and the least loss of a budget at one sparsity."""
    sizes = np.geomspace(1e7, 1e12, 20_000)
    loss = np.asarray(LAW.loss(sizes, flops / (6 * (1 - sparsity) * sizes), sparsity))
    return float(sizes[loss.argmin()]), float(loss.min())


def main(n_replicates: int) -> None:
    """Print the shares by noise and budget."""
    for noise in (0.002, 0.008):
        rng, found = np.random.default_rng(0), {}
        for _ in range(n_replicates):
            made = fit_sparsity(runs(noise, rng))
            for one in made.levels:
                size, loss = truth(one.flops, one.sparsity)
                rows = found.setdefault(round(one.flops / 1e20), [])
                low, high = one.n_interval
                rows.append((low <= size <= high,
                             one.loss_interval[0] <= loss <= one.loss_interval[1],
                             np.log(high / low), np.diff(one.loss_interval)[0] / loss))  # fmt: skip
        for factor, rows in found.items():
            size, loss, width, spread = np.array(rows, dtype=float).T
            print(
                f"noise {noise}, {factor} x C: N_opt {size.mean():.1%} (width of log "
                f"{np.median(width):.2f}), loss {loss.mean():.1%} (width {np.median(spread):.2%}) "
                f"of {len(rows)}",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
