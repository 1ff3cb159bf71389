"""Times what a `SpeedTable` holds and prints it as JSON: python -m train.speed.measure THREADS.

Started by `train.speed.machine`, with what is asked for on its standard input. Contenders take
turns and each has the quickest of its rounds: what else a busy machine does can only add to a time.
"""

import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from train.config.decode import decode_stored
from train.config.flops import flops_per_token
from train.config.kernels import LIBRARY, Kernels
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec, OptimSpec, known
from train.engine.compile import compiled
from train.engine.cpu_allocator import freed_memory_kept
from train.model.attention import causal_attention
from train.model.build import SummedLoss, build_model
from train.model.linear import ONEDNN, onednn_product, onednn_weight_gradient
from train.model.optimizer import build_optimizer
from train.speed.precision import BF16_FLAGS, processor_flags
from train.speed.table import (
    AttentionTime,
    CompiledTime,
    ProductTime,
    SpeedTable,
    StepTime,
    candidate_kernels,
    kernels_for,
)

PRODUCTS = ((512, 32), (2048, 32), (2048, 64), (2048, 128), (2048, 256))
"""Rows and width of square products: 2^19 to 2^27 multiplications."""

CONTEXTS, HEAD_DIMS, TOKENS, HEADS = (128, 256, 512, 1024), (16, 64), 2048, 4
"""Attention is timed over so many tokens at every context."""

WIDTHS = {16: 2, 32: 4, 64: 8, 128: 8, 256: 8}
"""Width of a model whose step is timed, and rows of a batch: narrow models train on small ones."""

LAYERS, SEQ_LEN, VOCABULARY = 2, 256, 512

SECONDS = {"product": 0.04, "attention": 0.12, "step": 0.5, "compiled": 1.5}
"""Time for all rounds of one comparison; at least `ROUNDS` are made."""

ROUNDS, MOST_ROUNDS = 3, 60

OPTIM = OptimSpec(batch_tokens=2048, lr_peak=1e-3, weight_decay=0.1, beta2=0.99)

Step = Callable[[], object]


def measured() -> SpeedTable:
    """Everything but compiled steps."""
    products = tuple(_product(rows, width) for rows, width in PRODUCTS)
    contexts = [(length, dim) for dim in HEAD_DIMS for length in CONTEXTS]
    attention = tuple(_attention(length, dim) for length, dim in contexts)
    steps = tuple(_step_time(width, products, attention) for width in WIDTHS)
    return SpeedTable(products, attention, steps)


def with_compiled(table: SpeedTable, d_model: int, precision: str) -> SpeedTable:
    """The table and one compiled width more; kernels that lie on disk from before are not used."""
    shape = _shape(d_model)
    kernels = kernels_for(table, d_model, shape.head_size, SEQ_LEN, precision)
    low = precision == "bf16"
    eager = _step(_module(shape, kernels), shape, low)
    seconds, compile_seconds = None, 0.0
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = scratch
        other = _step(compiled(_module(shape, kernels)), shape, low)
        started = time.perf_counter()
        try:
            other()
        except Exception as error:  # no compiler, or one that fails: there is nothing to choose
            sys.stderr.write(f"not compiled: {type(error).__name__}\n")
            times = {"eager": _quickest({"eager": eager}, "step")["eager"]}
        else:
            compile_seconds = time.perf_counter() - started
            times = _quickest({"eager": eager, "compiled": other}, "compiled")
            seconds = times["compiled"]
    row = CompiledTime(d_model, precision, LAYERS, times["eager"], seconds, compile_seconds)
    return replace(table, compiled=(*table.compiled, row))


def _product(rows: int, width: int) -> ProductTime:
    x, grad, weight = torch.randn(rows, width), torch.randn(rows, width), torch.randn(width, width)
    tasks: dict[str, Step] = {
        "library": lambda: F.linear(x, weight),
        "library_weights": lambda: grad.t() @ x,
    }
    if ONEDNN:
        tasks["onednn"] = lambda: onednn_product(x, weight)
        tasks["onednn_weights"] = lambda: onednn_weight_gradient(grad, x)
    times = _quickest(tasks, "product")
    return ProductTime(
        rows * width * width,
        times["library"],
        times.get("onednn", times["library"]),
        times["library_weights"],
        times.get("onednn_weights", times["library_weights"]),
    )


def _attention(length: int, head_dim: int) -> AttentionTime:
    shape = (TOKENS // length, HEADS, length, head_dim)
    query, key, value = (torch.randn(shape, requires_grad=True) for _ in range(3))
    upstream = torch.randn(shape)

    def with_kernels(kernels: Kernels) -> tuple[Tensor, ...]:
        out = causal_attention(query, key, value, kernels)
        return torch.autograd.grad(out, (query, key, value), upstream)

    tasks: dict[str, Step] = {
        "library": lambda: with_kernels(LIBRARY),
        "blocks": lambda: with_kernels(Kernels(blocks_from=0)),
    }
    times = _quickest(tasks, "attention")
    if _has_bf16():
        times |= _low_attention((query, key, value), upstream, times)
    return AttentionTime(length, head_dim, **times)


def _low_attention(
    inputs: tuple[Tensor, ...], upstream: Tensor, times: Mapping[str, float]
) -> dict[str, float]:
    """The same of bfloat16 inputs: as it is, and in float32 by whichever was faster there."""
    blocks = 0 if times["blocks"] < times["library"] else None
    query, key, value = (x.detach().bfloat16().requires_grad_() for x in inputs)

    def with_kernels(kernels: Kernels) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", torch.bfloat16):
            out = causal_attention(query, key, value, kernels)
        return torch.autograd.grad(out, (query, key, value), upstream.bfloat16())

    tasks: dict[str, Step] = {
        "bf16": lambda: with_kernels(LIBRARY),
        "bf16_wide": lambda: with_kernels(Kernels(None, None, blocks, 0)),
    }
    return _quickest(tasks, "attention")


def _has_bf16() -> bool:
    return bool(BF16_FLAGS & processor_flags(Path("/proc/cpuinfo")))


def _step_time(
    d_model: int, products: tuple[ProductTime, ...], attention: tuple[AttentionTime, ...]
) -> StepTime:
    shape = _shape(d_model)
    kernels = candidate_kernels(products, attention, shape.head_size, SEQ_LEN)
    tasks = {"library": _step(_module(shape, LIBRARY), shape, False)}
    if _acts(kernels, shape):
        tasks["kernels"] = _step(_module(shape, kernels), shape, False)
    if _has_bf16():
        tasks["bf16"] = _step(_module(shape, LIBRARY), shape, True)
        low = candidate_kernels(products, attention, shape.head_size, SEQ_LEN, "bf16")
        if _acts(low, shape):
            tasks["bf16_kernels"] = _step(_module(shape, low), shape, True)
    times = _quickest(tasks, "step")
    flops = flops_per_token(shape) * WIDTHS[d_model] * SEQ_LEN
    other = (times.get(name) for name in ("kernels", "bf16", "bf16_kernels"))
    return StepTime(d_model, flops, times["library"], *other)


def _acts(kernels: Kernels, shape: ModelSpec) -> bool:
    """Whether any of a kernel's sizes is met in a step of this shape, whose head is the largest."""
    widest = max(known(shape.d_ff, "d_ff"), VOCABULARY)
    largest = WIDTHS[shape.d_model] * SEQ_LEN * shape.d_model * widest
    multiplies = kernels.onednn_from is not None and kernels.onednn_from <= largest
    contexts = (kernels.blocks_from, kernels.float32_attention_from)
    return multiplies or any(one is not None and one <= SEQ_LEN for one in contexts)


def _shape(d_model: int) -> ModelSpec:
    return complete_shape(
        ModelSpec(d_model=d_model, n_layers=LAYERS, vocab_size=VOCABULARY, seq_len=SEQ_LEN)
    )


def _module(shape: ModelSpec, kernels: Kernels) -> SummedLoss:
    return SummedLoss(build_model(shape, seed=0), kernels)


def _step(module: torch.nn.Module, shape: ModelSpec, low: bool) -> Step:
    """A whole optimiser step as a function without arguments."""
    optimizer = build_optimizer(module, OPTIM, shape, "cpu")
    rows = torch.randint(0, VOCABULARY, (WIDTHS[shape.d_model], SEQ_LEN + 1))
    tokens, labels = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
    parameters = list(module.parameters())

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = module(tokens, labels)
        (loss / labels.numel()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _quickest(tasks: Mapping[str, Step], kind: str) -> dict[str, float]:
    """Least seconds of each task, one after another in every round.

    With one thread the process's own time, in which a neighbour on the core does not show.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    for task in tasks.values():
        task()
    found: dict[str, list[float]] = {name: [] for name in tasks}
    started = time.perf_counter()
    for number in range(MOST_ROUNDS):
        if number >= ROUNDS and time.perf_counter() - started > SECONDS[kind]:
            break
        for name, task in tasks.items():
            before = clock()
            task()
            found[name].append(clock() - before)
    return {name: min(times) for name, times in found.items()}


def main(arguments: list[str]) -> int:
    torch.set_num_threads(int(arguments[0]))
    request = json.load(sys.stdin)
    gc.freeze()
    with freed_memory_kept():
        if request["compiled"] is None:
            table = measured()
        else:
            present = decode_stored(SpeedTable, request["table"], "table")
            table = with_compiled(present, *request["compiled"])
    print(json.dumps(asdict(table)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
