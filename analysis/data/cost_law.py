"""What training costs: C = k N^gamma D, the rule of thumb 6 N D, and the law fitted to runs."""

from dataclasses import dataclass

import numpy as np

from analysis.errors import Numbers


@dataclass(frozen=True)
class Cost:
    """FLOPs of training N parameters on D tokens: C = k N^gamma D."""

    k: Numbers = 6.0
    gamma: Numbers = 1.0

    def flops(self, n_params: Numbers, n_tokens: Numbers) -> Numbers:
        return self.k * n_params**self.gamma * n_tokens

    def n_tokens(self, n_params: Numbers, flops: Numbers) -> Numbers:
        return flops / (self.k * n_params**self.gamma)


SIX_ND = Cost()
"""The rule of thumb C = 6 N D."""


def fit_cost(n_params: np.ndarray, n_tokens: np.ndarray, flops: np.ndarray) -> Cost:
    """The cost law C = k N^gamma D of some runs, by least squares on log(C/D) against log N.

    Args:    arrays (runs,), > 0. With a single model size gamma is taken as 1.
    """
    x, y = np.log(n_params), np.log(flops / n_tokens)
    if np.ptp(x) < 1e-9:
        return Cost(k=float(np.exp(np.mean(y - x))), gamma=1.0)
    gamma = float(np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2))
    return Cost(k=float(np.exp(y.mean() - gamma * x.mean())), gamma=gamma)
