"""Runs that are one run until the learning rate decays: what they share, and up to which step.

A batch is a function of (seed, step), and before its decay the rate of a warmup-stable-decay run
does not depend on its length. So runs that differ in horizon and decay alone have the same weights,
bit for bit, at every step that precedes the decay of both: a trunk, from which each is a branch.
"""

import hashlib
from dataclasses import replace

from train.config.flops import flops_per_token
from train.config.lr_schedule import wsd_decay_start
from train.config.run_config import RuntimeSpec
from train.config.spec import (
    SCHEMA_VERSION,
    HorizonSpec,
    RunSpec,
    ScheduleSpec,
    canonical_json,
    known,
)

_ANY_HORIZON = HorizonSpec(n_tokens=1.0)
_ANY_DECAY = ScheduleSpec()


def trunk_id(spec: RunSpec) -> str | None:
    """Twelve hex digits that runs of one trunk share: the spec's hash without horizon and decay.

    None where the rate depends on the run's length from the start: every schedule but wsd, and a
    wsd whose decay is planned over another horizon.
    """
    if trunk_end(spec) is None:
        return None
    shared = replace(
        spec,
        horizon=_ANY_HORIZON,
        n_steps=None,
        schedule=replace(
            spec.schedule,
            decay_fraction=_ANY_DECAY.decay_fraction,
            final_fraction=_ANY_DECAY.final_fraction,
        ),
    )
    content = {"schema": SCHEMA_VERSION, "trunk": shared}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:12]


def trunk_end(spec: RunSpec) -> int | None:
    """The step at which a run leaves its trunk, where its decay starts; None without a trunk."""
    if spec.schedule.name != "wsd" or spec.schedule.horizon_tokens is not None:
        return None
    batch_tokens = known(spec.optim.batch_tokens, "optim.batch_tokens")
    warmup = round(known(spec.schedule.warmup_tokens, "schedule.warmup_tokens") / batch_tokens)
    n_steps = known(spec.n_steps, "n_steps")
    return wsd_decay_start(n_steps, warmup, spec.schedule.decay_fraction)


def latest_branch(spec: RunSpec, runtime: RuntimeSpec) -> int | None:
    """The furthest step that a run may start from: its trunk's end, and no kept model before it."""
    end = trunk_end(spec)
    if end is None or not runtime.branch:
        return None
    kept = runtime.keep_steps(known(spec.n_steps, "n_steps"))
    return min([end, *(step - 1 for step in kept)])


def flops_of_steps(spec: RunSpec, n_steps: int) -> float:
    """FLOPs of so many optimiser steps: n_steps * batch_tokens * FLOPs per token."""
    batch_tokens = known(spec.optim.batch_tokens, "optim.batch_tokens")
    return float(n_steps * batch_tokens * flops_per_token(spec.model))
