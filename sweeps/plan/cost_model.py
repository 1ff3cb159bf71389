"""What a run will cost: seconds from measured speeds of a few sizes, bytes from its shape."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log

from sweeps.plan.expand import PlannedRun
from train.config.flops import count_params
from train.config.spec import ModelSpec, RunSpec, known

START_SECONDS = 2.0
"""Building a model, opening shards and writing the checkpoint, for a run of a warm worker."""

EVAL_SHARE = 0.1
"""Validation in the course of a run, as a share of its training time."""


CHUNK_LOGITS = 2**26
"""Logits that a GPU holds at a time, as in `train.model.loss`, which needs torch."""

LOGIT_BYTES = 14
"""Bytes a logit of a chunk: itself and its gradient in float32, copies of lower precision."""


@dataclass(frozen=True)
class Speed:
    """Training speed of one size: FLOPs a token (the size) and tokens a second."""

    flops_per_token: float
    tokens_per_second: float


def predicted_seconds(flops_a_token: float, n_tokens: float, speeds: list[Speed]) -> float:
    """Seconds of a run: n_tokens / speed, plus start-up and validation.

    Speed is interpolated log-log in FLOPs a token; below the smallest measured size it stays that
    size's tokens a second (overhead rules), above the largest that size's FLOPs a second.
    Raises:  ValueError: no measured speed.
    """
    return START_SECONDS + (1 + EVAL_SHARE) * n_tokens / tokens_per_second(flops_a_token, speeds)


def size_of(run: PlannedRun) -> float:
    """FLOPs per token, by which speeds are known."""
    return run.flops / run.n_tokens


def seconds_left(run: PlannedRun, speeds: Sequence[Speed]) -> float:
    """Predicted seconds of what a run trains itself. Raises: ValueError: no measured speed."""
    return predicted_seconds(size_of(run), run.n_tokens * run.share_to_train, list(speeds))


def tokens_per_second(flops_a_token: float, speeds: list[Speed]) -> float:
    """Speed of a size, interpolated as `predicted_seconds` says."""
    if not speeds:
        raise ValueError("a prediction needs at least one measured speed")
    ordered = sorted(speeds, key=lambda speed: speed.flops_per_token)
    first, last = ordered[0], ordered[-1]
    if flops_a_token <= first.flops_per_token:
        return first.tokens_per_second
    if flops_a_token >= last.flops_per_token:
        return last.tokens_per_second * last.flops_per_token / flops_a_token
    for low, high in pairwise(ordered):
        if flops_a_token <= high.flops_per_token:
            share = log(flops_a_token / low.flops_per_token) / log(
                high.flops_per_token / low.flops_per_token
            )
            return exp(
                (1 - share) * log(low.tokens_per_second) + share * log(high.tokens_per_second)
            )
    raise AssertionError("unreachable: the sizes are ordered")


def predicted_bytes(spec: RunSpec, micro_batch: int | None = None, on_gpu: bool = False) -> float:
    """Memory of training a resolved spec, in bytes, beyond the process itself.

    Sixteen bytes a parameter (weights, gradient, two AdamW moments, float32), and a token's kept
    activations. On a CPU these are about 16 d_model + 3 d_ff values a layer, attention scores once,
    and the logits three times over (logits, their float32 softmax, gradient); four bytes each, in
    bf16 two but for logits. On a GPU no scores are kept and at most a chunk of logits
    (`train.model.loss`), but under autocast a copy for each product and one of the weights; the
    counts are upper ends of what eager steps of both families allocate, and a compiled one keeps
    less.
    """
    model, bf16 = spec.model, spec.precision == "bf16"
    tokens = known(spec.optim.batch_tokens, "optim.batch_tokens")
    if micro_batch is not None:
        tokens = min(tokens, micro_batch * model.seq_len)
    n_params = count_params(model).n_params_total
    if not on_gpu:
        return 16 * n_params + tokens * _bytes_per_token(model, 2 if bf16 else 4)
    layers, d_ff = known(model.n_layers, "n_layers"), known(model.d_ff, "d_ff")
    layer = 46 * model.d_model + 8 * d_ff if bf16 else 52 * model.d_model + 12 * d_ff
    logits = min(tokens * known(model.vocab_size, "vocab_size"), CHUNK_LOGITS)
    return (18 if bf16 else 16) * n_params + tokens * layers * layer + LOGIT_BYTES * logits


def _bytes_per_token(model: ModelSpec, width: int) -> int:
    layers, heads = known(model.n_layers, "n_layers"), known(model.n_heads, "n_heads")
    d_ff, vocab = known(model.d_ff, "d_ff"), known(model.vocab_size, "vocab_size")
    return layers * (16 * model.d_model + 3 * d_ff + heads * model.seq_len) * width + 12 * vocab


def wall_seconds(runs: Iterable[tuple[PlannedRun, float]], workers: int) -> float:
    """Wall-clock seconds of runs with these predicted seconds, longest first over `workers`.

    Runs of one trunk count as one: they wait for each other.
    """
    by_trunk: dict[str, float] = {}
    for run, seconds in runs:
        chain = run.trunk_id or run.run_id
        by_trunk[chain] = by_trunk.get(chain, 0.0) + seconds
    return makespan(list(by_trunk.values()), workers)


def makespan(seconds: list[float], workers: int) -> float:
    """Wall-clock seconds of jobs taken longest first by the next free of `workers`."""
    ends = [0.0] * max(1, workers)
    for duration in sorted(seconds, reverse=True):
        earliest = min(range(len(ends)), key=ends.__getitem__)
        ends[earliest] += duration
    return max(ends)
