"""Grids of runs on known surfaces, by which intervals are judged (benchmarks/coverage.py)."""

from dataclasses import dataclass

import numpy as np

from analysis.data.cost_law import SIX_ND
from analysis.fits.kaplan import KaplanJoint
from analysis.fits.surface import Surface

SEEDS = 0.0065
"""Standard deviation of log L between six seeds of model=d16 at 1e11 FLOPs on stdlib text."""

HOFFMANN = Surface(E=1.8172, A=477.8, B=2143.4, alpha=0.3473, beta=0.3672)
SMALL = Surface(E=0.9, A=25.0, B=140.0, alpha=0.35, beta=0.40)
LOPSIDED = Surface(E=1.7, A=120.0, B=9000.0, alpha=0.28, beta=0.45)
KAPLAN = KaplanJoint(6.4e13, 1.8e13, 0.076, 0.103, SIX_ND, 0.0, "converged")


@dataclass(frozen=True)
class Design:
    """A grid of runs about the optimum of a surface, and the noise of seeds on log L.

    `tails` is the share of runs whose noise is five times as large: runs that trained badly.
    """

    name: str
    surface: Surface | KaplanJoint
    budgets: np.ndarray
    widths: np.ndarray
    seeds: int
    noise: float
    tails: float = 0.0

    def runs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Budget, N, D and noisy L of every run, each (runs,)."""
        best = np.asarray(self.surface.optimal(self.budgets).n_params)
        n_params = np.repeat((best[:, None] * self.widths).ravel(), self.seeds)
        budget = np.repeat(np.repeat(self.budgets, len(self.widths)), self.seeds)
        n_tokens = budget / (6 * n_params)
        scale = np.where(rng.random(len(budget)) < self.tails, 5, 1) * self.noise
        loss = self.surface.loss(n_params, n_tokens) * np.exp(rng.normal(0, scale))
        return budget, n_params, n_tokens, np.asarray(loss)


DESIGNS = (
    Design("demo: 3 budgets x 6 sizes", SMALL, np.geomspace(2e11, 3.2e12, 3),
           np.geomspace(0.25, 4, 6), 1, SEEDS),
    Design("demo, off centre", SMALL, np.geomspace(2e11, 3.2e12, 3),
           np.geomspace(0.5, 8, 6), 1, SEEDS),
    Design("demo, 2 seeds", SMALL, np.geomspace(2e11, 3.2e12, 3),
           np.geomspace(0.25, 4, 6), 2, SEEDS),
    Design("5 budgets x 8 sizes", LOPSIDED, np.geomspace(1e17, 1e20, 5),
           np.geomspace(0.15, 6, 8), 1, 0.004),
    Design("5 x 8, a tenth badly trained", LOPSIDED, np.geomspace(1e17, 1e20, 5),
           np.geomspace(0.15, 6, 8), 1, 0.004, 0.1),
    Design("9 budgets x 25 sizes", HOFFMANN, np.geomspace(6e18, 3e21, 9),
           np.geomspace(0.1, 10, 25), 1, 0.008),
    Design("3 x 6, Kaplan's own law", KAPLAN, np.geomspace(2e11, 3.2e12, 3),
           np.geomspace(0.25, 4, 6), 1, SEEDS),
    Design("5 x 8, Kaplan's own law", KAPLAN, np.geomspace(1e17, 1e20, 5),
           np.geomspace(0.15, 6, 8), 1, 0.004),
)  # fmt: skip
