"""A row of metrics.jsonl under the names that trackers show: train/, eval/, optim/, throughput/.

They are those of OLMo's and torchtitan's logs. Columns of metrics.jsonl that have a folder already
keep it.
"""

from typing import Any

TOKENS, FLOPS = "throughput/total_tokens", "throughput/total_flops"

NAMES = {
    "train_loss": "train/loss",
    "loss": "eval/loss",
    "loss_ema": "eval/loss_ema",
    "lr": "optim/lr",
    "n_tokens": TOKENS,
    "flops": FLOPS,
}
"""Columns of metrics.jsonl without a folder; a part's loss/PART becomes eval/loss/PART."""


def named(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of a row under their names, without the step, which trackers keep beside them."""
    return {
        f"eval/{name}" if name.startswith("loss/") else NAMES.get(name, name): value
        for name, value in row.items()
        if name != "step" and isinstance(value, int | float)
    }
