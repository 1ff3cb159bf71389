"""Learning-rate, batch, warm-up and beta rules as functions of the run's real N and D, by name.

Each rule cites its paper where it is computed. All were fitted at 100M parameters and above, so at
laptop scale they are extrapolations; docs/log.md holds what was checked.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from train.spec import SpecError


@dataclass(frozen=True)
class Hyperparameters:
    """What a rule decides: peak rate, tokens a batch, warm-up tokens and AdamW's second beta."""

    lr_peak: float
    batch_tokens: float
    warmup_tokens: float
    beta2: float


def default_rule(n_params: int, n_tokens: float) -> Hyperparameters:
    """OLMo ladder's rate, halved and capped, with the Step Law's batch.

    lr = 0.5 * 0.0047 (N / 108e6)^(-1/3) (Bhagia et al. 2024), at most 0.01 and, for batches B under
    512 tokens, 0.01 sqrt(B / 512) (square-root scaling; Malladi et al. 2022). B = 0.58 D^0.571
    tokens (Li et al. 2025), at most D/2000 so that a run has some 2,000 steps. Warm-up = min(N
    tokens, 10 % of D) (Porian et al. 2024); beta2 = 0.99 below 524,288 tokens a batch, else 0.95.
    Both caps come from the check in docs/log.md.
    """
    batch_tokens = min(0.58 * n_tokens**0.571, n_tokens / 2000)
    cap = 0.01 * min(1.0, math.sqrt(batch_tokens / 512))
    return Hyperparameters(
        lr_peak=min(cap, 0.5 * 0.0047 * (n_params / 108e6) ** (-1 / 3)),
        batch_tokens=batch_tokens,
        warmup_tokens=min(float(n_params), 0.1 * n_tokens),
        beta2=0.99 if batch_tokens < 524288 else 0.95,
    )


RULES: dict[str, Callable[[int, float], Hyperparameters]] = {"default": default_rule}


def hyperparameters(rule: str, n_params: int, n_tokens: float) -> Hyperparameters:
    """Values of the named rule for N = n_params and D = n_tokens.

    Raises:  SpecError: no rule of that name.
    """
    if rule not in RULES:
        raise SpecError(f"optim.rule={rule!r} is unknown; expected one of {', '.join(RULES)}")
    return RULES[rule](n_params, n_tokens)


def power_of_two_sequences(batch_tokens: float, seq_len: int) -> int:
    """Tokens of a batch of 2^k whole sequences, at most `batch_tokens`, at least one sequence."""
    sequences = max(1.0, batch_tokens / seq_len)
    return seq_len * 2 ** math.floor(math.log2(sequences))
