"""Checks of the card's memory: what is left, what is predicted, and what becomes of too little."""

import gc

from sweeps.gpu_check.card import Card
from sweeps.gpu_check.results import Check, Found
from sweeps.plan.cost_model import predicted_bytes
from train.engine.device import release_cached_memory
from train.rundir.record import RunPaths

USED_OF_PREDICTED = (0.4, 1.1)
"""Least and most share of the predicted memory that a run may take: the prediction is what several
runs are packed by, and a compiled run, which keeps less, shares it."""


def checks(card: Card) -> list[Check]:
    """Those of one process."""
    return [
        Check(
            "memory_left", "no byte left after each of four runs", lambda: memory_left(card), 40, 20
        ),
        Check(
            "out_of_memory",
            "with room for half the rows the run ends by itself, to the same loss",
            lambda: out_of_memory(card),
            41,
            15,
        ),
        Check(
            "memory_predicted",
            f"a run takes {USED_OF_PREDICTED[0]:.0%} to {USED_OF_PREDICTED[1]:.0%} of the memory "
            "predicted",
            lambda: memory_predicted(card),
            42,
            30,
        ),
    ]


def memory_left(card: Card) -> Found:
    gc.collect()
    left = []
    before = card.module.memory_allocated()
    gc.disable()
    try:
        for number in range(4):
            precision = ("fp32", "bf16")[number % 2]
            card.trained(
                f"left-{number}", card.job(precision=precision, n_steps=10 if card.real else 2)
            )
            left.append(card.module.memory_allocated() - before)
    finally:
        gc.enable()
    return not any(left), {"bytes": left}


def out_of_memory(card: Card) -> Found:
    rows = 256 if card.real else 64
    job = card.job(n_steps=3, rows=rows)
    roomy = card.trained("roomy", job)
    parts = card.trained("small-parts", job, micro_batch=rows // 4)
    assert roomy.peak_memory_bytes is not None and parts.peak_memory_bytes is not None
    gc.collect()
    release_cached_memory()
    limit = (roomy.peak_memory_bytes + parts.peak_memory_bytes) // 2
    total = card.module.mem_get_info()[1]
    card.module.set_per_process_memory_fraction(limit / total)
    try:
        small = card.trained("little-room", job, auto_micro_batch=True)
    finally:
        card.module.set_per_process_memory_fraction(1.0)
    log = RunPaths(card.out / "runs" / "little-room").log.read_text()
    assert small.loss is not None and roomy.loss is not None
    apart = abs(small.loss / roomy.loss - 1)
    got = {"limit": limit, "halved": "out of memory with" in log, "relative_difference": apart}
    return got["halved"] and apart < 1e-4, got


def memory_predicted(card: Card) -> Found:
    """Eager runs, in which nothing is fused away, of both families and precisions."""
    large = {"d_model": 512, "n_layers": 8, "seq_len": 1024, "vocab_size": 50_257}
    tiny = {"d_model": 64, "n_layers": 4, "seq_len": 64, "vocab_size": 1001}
    got = {}
    for family in ("llama", "gpt2"):
        for precision in ("fp32", "bf16"):
            shape = {**(large if card.real else tiny), "family": family}
            job = card.job(n_steps=2, rows=8, precision=precision, **shape)
            used = card.trained(f"predicted-{family}-{precision}", job, n_evals=1).peak_memory_bytes
            expected = predicted_bytes(job.spec, on_gpu=True)
            share = (used or 0) / expected
            held = USED_OF_PREDICTED[0] <= share <= USED_OF_PREDICTED[1]
            got[f"{family}-{precision}"] = {
                "used": used, "predicted": expected, "share": share, "held": held
            }  # fmt: skip
    return all(each["held"] for each in got.values()), got
