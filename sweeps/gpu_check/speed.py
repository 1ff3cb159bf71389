"""Checks of speed: timed steps, kernels, and several runs side by side.

On a stand-in the same code runs at tiny shapes and nothing is judged.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from sweeps.gpu_check.card import Card
from sweeps.gpu_check.results import Check, NotHereError
from train.config.flops import count_params, flops_per_token
from train.config.gpu_peaks import peak_bf16_flops
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec, OptimSpec
from train.model.build import SummedLoss, build_model
from train.model.optimizer import build_optimizer

VOCABULARY = 50_257
GOALS = {512: 0.23, 768: 0.32, 1024: 0.36, 1536: 0.40}
"""MFU that is within reach on an H100 by width, at about 30M, 124M, 254M and 757M parameters."""

ROWS, STEPS, WARM_STEPS = 32, 10, 4
PACKED = (1, 2, 4, 8, 16)
PACKED_SECONDS = 5.0

Found = tuple[bool | None, dict[str, Any]]


def checks(card: Card) -> list[Check]:
    """Largest questions first, since the time may run out."""
    return [
        Check(
            "attention_kernels",
            "every attention kernel of a step is flash or cudnn",
            lambda: attention_kernels(card),
        ),
        *(
            Check(
                f"mfu_d{d_model}",
                f"MFU of at least {goal:.2f} on an H100, compiled, vocabulary {VOCABULARY:,}",
                lambda d_model=d_model, goal=goal: utilisation(card, d_model, goal),
            )
            for d_model, goal in GOALS.items()
        ),
        Check("modes", "measured: compile modes at d768", lambda: modes(card)),
        Check("packing", "measured: tiny runs side by side on the card", lambda: packing(card)),
    ]


def shape_of(card: Card, d_model: int) -> ModelSpec:
    """The ladder's shape of a width; tiny on a stand-in."""
    if card.real:
        return complete_shape(ModelSpec(d_model=d_model, vocab_size=VOCABULARY, seq_len=1024))
    return complete_shape(ModelSpec(d_model=32, vocab_size=301, seq_len=32, n_layers=2))


def stepper(card: Card, spec: ModelSpec, rows: int, mode: str) -> Callable[[], None]:
    """One optimiser step on a fixed random batch, in bf16 as a run trains."""
    optim = OptimSpec(lr_peak=1e-3, weight_decay=0.1, beta2=0.95)
    model: torch.nn.Module = SummedLoss(build_model(spec, seed=0)).to(card.device)
    optimizer = build_optimizer(model, optim, spec, card.device.type)
    parameters = list(model.parameters())
    if mode != "off" and card.real:
        torch.compiler.reset()
        model = torch.compile(model, mode=mode)  # type: ignore[assignment]
    tokens = torch.randint(0, spec.vocab_size or 2, (rows, spec.seq_len)).to(card.device)

    def step() -> None:
        with torch.autocast(card.device.type, dtype=torch.bfloat16):
            loss = model(tokens, tokens) / tokens.numel()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def step_seconds(card: Card, step: Callable[[], None]) -> float:
    """Median by events of the device, so that only its own time counts."""
    for _ in range(WARM_STEPS):
        step()
    seconds = []
    for _ in range(STEPS):
        start, end = (card.module.Event(enable_timing=True) for _ in range(2))
        start.record()
        step()
        end.record()
        card.module.synchronize()
        seconds.append(start.elapsed_time(end) / 1e3)
    return statistics.median(seconds)


def attention_kernels(card: Card) -> Found:
    step = stepper(card, shape_of(card, 768), rows=4, mode="default")
    for _ in range(WARM_STEPS):
        step()
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if card.real else [])
    with profile(activities=kinds) as profiled:
        step()
        card.module.synchronize()
    events: Any = profiled.events() or []
    on_card = [event for event in events if event.device_type.name == "CUDA"]
    names = sorted({event.name for event in on_card})
    attention = [n for n in names if any(w in n.lower() for w in ("flash", "fmha", "attention"))]
    good = [name for name in attention if "flash" in name.lower() or "cudnn" in name.lower()]
    got = {"kernels": len(on_card), "attention": attention, "names": names}
    if not card.real:
        return None, got
    return bool(attention) and good == attention, got


def utilisation(card: Card, d_model: int, goal: float) -> Found:
    spec = shape_of(card, d_model)
    rows = ROWS if card.real else 2
    while True:
        try:
            seconds = step_seconds(card, stepper(card, spec, rows, "default"))
            break
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
        rows //= 2
    speed = rows * spec.seq_len / seconds
    peak = peak_bf16_flops(card.name)
    mfu = None if peak is None else speed * flops_per_token(spec) / peak
    got = {
        "n_params": count_params(spec).n_params_total,
        "rows": rows,
        "tokens_per_second": speed,
        "mfu": mfu,
        "peak_memory_bytes": card.module.max_memory_allocated(),
    }
    judged = card.real and mfu is not None and "H100" in card.name
    return (mfu >= goal if judged and mfu is not None else None), got


def modes(card: Card) -> Found:
    spec = shape_of(card, 768)
    rows = 8 if card.real else 2
    got = {}
    for mode in ("off", "default", "reduce-overhead"):
        seconds = step_seconds(card, stepper(card, spec, rows, mode))
        got[mode] = {"tokens_per_second": rows * spec.seq_len / seconds}
    return None, got


def packing(card: Card) -> Found:
    """Tokens per second of all processes together, each with a tiny model of its own."""
    if not card.real:
        spec = replace(shape_of(card, 64), vocab_size=64)
        return None, {"one": tiny_speed(card, spec, seconds=0.2)}
    got = {}
    for count in PACKED:
        command = [sys.executable, "-P", "-m", "sweeps.gpu_check", "tiny=yes"]
        begun = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
        answers = [process.communicate()[0].split() for process in begun]
        if any(process.returncode for process in begun):
            raise NotHereError(f"{count} processes at once do not all run on this card")
        got[str(count)] = sum(float(answer[-1]) for answer in answers)
    return None, got


def tiny_speed(card: Card, spec: ModelSpec, seconds: float = PACKED_SECONDS) -> float:
    """Tokens per second of a tiny model by the wall clock."""
    step = stepper(card, spec, rows=8, mode="off")
    for _ in range(WARM_STEPS):
        step()
    card.module.synchronize()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step()
        card.module.synchronize()
        count += 1
    return count * 8 * spec.seq_len / (time.perf_counter() - started)
