"""Learning-rate, batch, warm-up, decay and beta rules as functions of a run's real scale.

Each rule cites its paper where it is computed. All were fitted at 100M parameters and above, so at
laptop scale they are extrapolations; docs/log.md holds what was checked.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from train.config.spec import SpecError

SMALL_BATCH_TOKENS = 524288
"""Batches below this take the longer second-moment memory, beta2 = 0.99 (Porian et al. 2024)."""

LAWS = "laws:"
"""How a rule begins that is written out, laws:lr=c*N^p*D^q;batch=c*N^p*D^q."""

_FACTOR = re.compile(r"(?P<variable>[ND])\^(?P<exponent>[-+.\deE]+)")


@dataclass(frozen=True)
class Scale:
    """What a rule may look at: N (matmul parameters), D (tokens), width and depth."""

    n_params: int
    n_tokens: float
    d_model: int
    n_layers: int


@dataclass(frozen=True)
class Hyperparameters:
    """What a rule decides; batch_tokens is a wish that is rounded to 2^k sequences.

    To the nearest in log scale, or down where `batch_at_most` says that it is a bound.
    """

    lr_peak: float
    batch_tokens: float
    warmup_tokens: float
    beta2: float = 0.95
    weight_decay: float = 0.1
    batch_at_most: bool = False


def default_rule(scale: Scale) -> Hyperparameters:
    """OLMo ladder's rate, halved and capped, with the Step Law's batch.

    lr = 0.5 * 0.0047 (N / 108e6)^(-1/3) (Bhagia et al. 2024), at most 0.01 and, for batches B under
    512 tokens, 0.01 sqrt(B / 512) (square-root scaling; Malladi et al. 2022). B = 0.58 D^0.571
    tokens (Li et al. 2025), at most D/2000 so that a run has some 2,000 steps. Warm-up = min(N
    tokens, 10 % of D) (Porian et al. 2024). Both caps come from the check in docs/log.md.
    """
    batch_tokens = min(0.58 * scale.n_tokens**0.571, scale.n_tokens / 2000)
    cap = 0.01 * min(1.0, math.sqrt(batch_tokens / 512))
    return Hyperparameters(
        lr_peak=min(cap, 0.5 * 0.0047 * (scale.n_params / 108e6) ** (-1 / 3)),
        batch_tokens=batch_tokens,
        warmup_tokens=short_warmup(scale),
        beta2=0.99 if batch_tokens < SMALL_BATCH_TOKENS else 0.95,
        batch_at_most=True,
    )


def porian(scale: Scale) -> Hyperparameters:
    """lr = 0.0047 (N/108e6)^(-1/3), batch = 160 (N/108e6)^(2/3) sequences of 2,048 tokens.

    Warm-up = min(N tokens, 10 % of D); beta2 = 0.99 for small batches.
    Source:  Porian et al. 2024, tuned by sweeps at 5M to 220M parameters.
    """
    batch_tokens = 160 * 2048 * (scale.n_params / 108e6) ** (2 / 3)
    return Hyperparameters(
        lr_peak=0.0047 * (scale.n_params / 108e6) ** (-1 / 3),
        batch_tokens=batch_tokens,
        warmup_tokens=short_warmup(scale),
        beta2=0.99 if batch_tokens < SMALL_BATCH_TOKENS else 0.95,
    )


def olmo(scale: Scale) -> Hyperparameters:
    """Rate and batch as `porian`, warm-up of N tokens, beta2 = 0.95 throughout.

    Source:  Bhagia et al. 2024, the OLMo model ladder.
    """
    base = porian(scale)
    return Hyperparameters(base.lr_peak, base.batch_tokens, float(scale.n_params))


def steplaw(scale: Scale) -> Hyperparameters:
    """lr = 1.79 N^(-0.713) D^0.307, batch = 0.58 D^0.571 tokens.

    The warm-up is the paper's 2,000 steps, at most 10 % of D.
    Source:  Li et al. 2025 (Step Law), for a cosine or linear decay to a fixed small rate.
    """
    batch_tokens = 0.58 * scale.n_tokens**0.571
    return Hyperparameters(
        lr_peak=1.79 * scale.n_params**-0.713 * scale.n_tokens**0.307,
        batch_tokens=batch_tokens,
        warmup_tokens=min(2000 * batch_tokens, 0.1 * scale.n_tokens),
    )


def nanochat(scale: Scale) -> Hyperparameters:
    """Batch = 2^19 (D/D0)^0.383, lr = 0.004 sqrt(B/B0) (d/768)^(-1/2), decay ~ sqrt(B/B0) D0/D.

    D0 = 1.32e9 tokens is 12 tokens for each of the 110M matrix and head parameters of the depth-12
    reference. nanochat trains matrices with Muon; here its AdamW rate of the head serves all.
    Source:  karpathy/nanochat, after Bergsma et al. 2025 (batch), Wang and Aitchison 2024 (decay).
    """
    reference_tokens, reference_batch = 12 * 110e6, 2.0**19
    batch_tokens = reference_batch * (scale.n_tokens / reference_tokens) ** 0.383
    root = math.sqrt(batch_tokens / reference_batch)
    return Hyperparameters(
        lr_peak=0.004 * root * (scale.d_model / 768) ** -0.5,
        batch_tokens=batch_tokens,
        warmup_tokens=0.0,
        weight_decay=min(1.0, 0.2 * root * reference_tokens / scale.n_tokens),
    )


def completep(scale: Scale) -> Hyperparameters:
    """One base rate for every width and depth: 0.0039, transferred by optim.parametrization.

    Use with optim.parametrization=completep, which scales initialisation and rates per layer type.
    Batch and warm-up as `default`.
    Source:  Dey et al. 2025 (CompleteP, alpha = 1): base rate 2^-8 at width 256, depth 2.
    """
    base = default_rule(scale)
    return replace(base, lr_peak=2.0**-8)


def hoffmann(scale: Scale) -> Hyperparameters:
    """Chinchilla's settings: 0.5M tokens a batch, 2e-4 at 70M falling to 1.25e-4 at 16B parameters.

    Log-linear between the two ends, constant outside; warm-up 1 % of D.
    Source:  Hoffmann et al. 2022, appendix (architectures and hyperparameters).
    """
    share = math.log(scale.n_params / 70e6) / math.log(16e9 / 70e6)
    share = min(1.0, max(0.0, share))
    return Hyperparameters(
        lr_peak=2e-4 * (1.25e-4 / 2e-4) ** share,
        batch_tokens=0.5e6,
        warmup_tokens=0.01 * scale.n_tokens,
    )


def kaplan(scale: Scale) -> Hyperparameters:
    """lr = 0.003239 - 0.0001395 ln N, 2^19 tokens a batch, a warm-up of 3,000 steps at any D.

    Source:  Kaplan et al. 2020, appendix D.6 and section 2.2.
    """
    return Hyperparameters(
        lr_peak=max(1e-5, 0.003239 - 0.0001395 * math.log(scale.n_params)),
        batch_tokens=2.0**19,
        warmup_tokens=3000 * 2.0**19,
    )


def kaplan_short_warmup(scale: Scale) -> Hyperparameters:
    """Rate and batch of `kaplan`, with the short warm-up of the rules that came after."""
    return replace(kaplan(scale), warmup_tokens=short_warmup(scale))


def short_warmup(scale: Scale) -> float:
    """min(N tokens, 10 % of D): one of the corrections of Porian et al. 2024."""
    return min(float(scale.n_params), 0.1 * scale.n_tokens)


RULES: dict[str, Callable[[Scale], Hyperparameters]] = {
    "default": default_rule,
    "olmo": olmo,
    "steplaw": steplaw,
    "nanochat": nanochat,
    "completep": completep,
    "porian": porian,
    "hoffmann": hoffmann,
    "kaplan": kaplan,
    "kaplan_short_warmup": kaplan_short_warmup,
}


def setting_at(rule: str, name: str, n_params: float, n_tokens: float) -> float | None:
    """The value of one setting by a rule of laws; None where the rule has none of it.

    Raises:
        SpecError: A rule that is not of the form laws:lr=c*N^p*D^q;batch=...
    """
    for law in rule.removeprefix(LAWS).split(";"):
        own, _, right = law.partition("=")
        if own.strip() != name:
            continue
        coefficient, *factors = right.split("*")
        try:
            value = float(coefficient)
            for factor in factors:
                match = _FACTOR.fullmatch(factor.strip())
                if match is None:
                    raise ValueError(factor)
                base = n_params if match["variable"] == "N" else n_tokens
                value *= base ** float(match["exponent"])
        except ValueError as error:
            raise SpecError(
                f"optim.rule={rule}: {law!r} is no law; expected lr=c*N^p*D^q;batch=c*D^q"
            ) from error
        return value
    return None


def fitted_laws(rule: str, scale: Scale) -> Hyperparameters:
    """Laws of a tuning sweep (optim.rule=fitted:DIR); batch as `default` where it was not swept.

    Raises:  SpecError: no law of the learning rate.
    """
    lr, batch = (setting_at(rule, name, scale.n_params, scale.n_tokens) for name in ("lr", "batch"))
    if lr is None:
        raise SpecError(f"optim.rule={rule} has no law of the learning rate; expected lr=c*N^p*D^q")
    batch_tokens = default_rule(scale).batch_tokens if batch is None else batch
    beta2 = 0.99 if batch_tokens < SMALL_BATCH_TOKENS else 0.95
    return Hyperparameters(lr, batch_tokens, short_warmup(scale), beta2)


def hyperparameters(rule: str, scale: Scale) -> Hyperparameters:
    """Values of the named rule, or of laws that are written out in its name.

    Raises:  SpecError: no rule of that name.
    """
    if rule.startswith(LAWS):
        return fitted_laws(rule, scale)
    if rule not in RULES:
        raise SpecError(
            f"optim.rule={rule!r} is unknown; expected one of {', '.join(RULES)}, or "
            f"fitted:DIR of a tuning sweep"
        )
    return RULES[rule](scale)


def power_of_two_sequences(batch_tokens: float, seq_len: int, at_most: bool = False) -> int:
    """Tokens of a batch of 2^k whole sequences, nearest to `batch_tokens` in log scale.

    Args:    at_most: no more than `batch_tokens`, where that holds one sequence.
    """
    doublings = math.log2(max(1.0, batch_tokens / seq_len))
    return seq_len * 2 ** (math.floor(doublings) if at_most else round(doublings))
