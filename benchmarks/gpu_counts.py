"""`python -m benchmarks.gpu_counts`: one optimiser step of a GPU, counted without one.

On the tests' stand-in device, eager, bf16: operations (each at least one kernel), waits for the
device, and bytes; and what torch.compile would be given: graphs, and attention by a flag or under a
mask. "transformers" is the step as a plain loop over the Hugging Face model would make it: its own
forward pass and all logits at once, unpadded.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table

from sweeps.gpu_check import standin
from sweeps.gpu_check.speed import stepper, whole_loss
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec
from train.model import build
from train.model.build import SummedLoss, build_model

ROWS, SEQ_LEN, VOCABULARY = 8, 256, 50_257
COLUMNS = (
    *("family", "step", "operations, forward", "operations, step", "waits"),
    *("graphs", "attention", "peak"),
)


@contextmanager
def as_transformers() -> Iterator[None]:
    """The forward pass and loss that a loop over the plain model has."""
    with (
        patch.object(build, "computes", lambda *_: False),
        patch.object(build, "chunked_loss", whole_loss),
    ):
        yield


@contextmanager
def as_is() -> Iterator[None]:
    yield


WAYS = {"transformers": as_transformers, "ours": as_is}


def counted(family: str) -> dict[str, Any]:
    """Counts of one step at d64, by the table's columns."""
    device, place = standin.module(), torch.device("standin:0")
    shape = ModelSpec(family=family, d_model=64, n_layers=2, vocab_size=512, seq_len=SEQ_LEN)
    small = complete_shape(shape)
    step = stepper(place, small, ROWS)
    step()
    device.clear()
    step()
    in_step, waits = sum(device.counts("op ").values()), sum(device.counts("wait").values())
    model = SummedLoss(build_model(small, seed=0)).to(place)
    tokens = torch.zeros(ROWS, SEQ_LEN, dtype=torch.long).to(place)
    with torch.autocast("standin", torch.bfloat16), torch.no_grad():
        model(tokens, tokens)
        device.clear()
        model(tokens, tokens)
    forward = sum(device.counts("op ").values())
    graphs, attention = traced(model, tokens)
    return {
        "operations, forward": forward,
        "operations, step": in_step,
        "waits": waits,
        "graphs": graphs,
        "attention": attention,
        "peak": f"{peak_bytes(family) / 1e9:.2f} GB",
    }


def traced(model: torch.nn.Module, tokens: torch.Tensor) -> tuple[int, str]:
    """Graphs of a training pass, and how their attention is causal."""
    found: list[Any] = []

    def keep(graph: Any, _: Any) -> Any:
        found.append(graph)
        return graph.forward

    torch.compiler.reset()
    with torch.autocast("standin", torch.bfloat16):
        torch.compile(model, backend=keep, dynamic=False)(tokens, tokens)
    calls = [
        node
        for graph in found
        for node in graph.graph.nodes
        if "scaled_dot_product_attention" in str(node.target)
    ]
    masks = [node for node in calls if node.kwargs.get("attn_mask") is not None]
    return len(found), "mask" if masks else "flag" if calls else "none"


def peak_bytes(family: str) -> float:
    """Most memory of a pass forward and backward over GPT-2's vocabulary, weights included."""
    shape = ModelSpec(family=family, d_model=64, n_layers=2, vocab_size=VOCABULARY, seq_len=SEQ_LEN)
    model = SummedLoss(build_model(complete_shape(shape), seed=0)).to("standin")
    tokens = torch.zeros(ROWS, SEQ_LEN, dtype=torch.long).to("standin")
    module = torch.get_device_module("standin")
    module.reset_peak_memory_stats()
    with torch.autocast("standin", torch.bfloat16):
        loss = model(tokens, tokens)
    loss.backward()
    return float(module.max_memory_allocated())


def main() -> int:
    try:
        standin.load()
    except standin.NoStandinError as error:
        print(error)
        return 2
    table = Table()
    for column in COLUMNS:
        table.add_column(column)
    for family in ("llama", "gpt2"):
        for name, way in WAYS.items():
            with way():
                found = counted(family)
            table.add_row(family, name, *(str(found[column]) for column in COLUMNS[2:]))
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
