"""Checks of speed: the kernels of a step, whole runs against their goals, one factor at a time.

On a stand-in the same code runs at tiny shapes, uncompiled, and nothing is judged.
"""

import shutil
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile

from sweeps.gpu_check.card import Card
from sweeps.gpu_check.results import Check, Found
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec, OptimSpec
from train.engine.compile import compiled
from train.engine.device import synchronize
from train.model import build, loss
from train.model.build import SummedLoss, build_model
from train.model.liger import liger_loss
from train.model.optimizer import build_optimizer
from train.speed.choice import liger_lacks

VOCABULARY = 50_257
GOALS = {512: 0.23, 768: 0.32, 1024: 0.36, 1536: 0.40}
"""MFU that is within reach on an H100 by width, at about 30M, 124M, 254M and 757M parameters."""

ROWS, RUN_STEPS = 32, 12
STEPS, WARM_STEPS = 10, 4


def checks(card: Card) -> list[Check]:
    """Kernels first, since most depends on them; then runs by size, then factors."""
    allowances = {512: 50, 768: 60, 1024: 75, 1536: 120}
    return [
        Check(
            "kernels",
            "every attention kernel of a step is flash or cudnn; counted: kernels, busy share",
            lambda: kernels(card),
            32,
            40,
        ),
        *(
            Check(
                f"mfu_d{d_model}",
                f"MFU of at least {goal:.2f} on an H100 by a run's record: compiled, bf16, {ROWS} "
                f"rows of 1,024, vocabulary {VOCABULARY:,}",
                lambda d_model=d_model, goal=goal: utilisation(card, d_model, goal),
                80 + number,
                allowances[d_model],
            )
            for number, (d_model, goal) in enumerate(GOALS.items())
        ),
        Check(
            "factors",
            "measured: tokens per second at d768 with one thing undone at a time",
            lambda: factors(card),
            95,
            150,
        ),
    ]


def shape_of(card: Card, d_model: int) -> ModelSpec:
    """The ladder's shape of a width; tiny on a stand-in."""
    if card.real:
        return complete_shape(ModelSpec(d_model=d_model, vocab_size=VOCABULARY, seq_len=1024))
    return complete_shape(ModelSpec(d_model=32, vocab_size=301, seq_len=32, n_layers=2))


def stepper(
    device: torch.device, spec: ModelSpec, rows: int, mode: str = "off"
) -> Callable[[], None]:
    """One optimiser step on a fixed random batch, in bf16.

    Args:    mode: off, on (compiled), or graphs (compiled into CUDA graphs).
    """
    optim = OptimSpec(lr_peak=1e-3, weight_decay=0.1, beta2=0.95)
    model: torch.nn.Module = SummedLoss(build_model(spec, seed=0)).to(device)
    optimizer = build_optimizer(model, optim, spec, device.type)
    parameters = list(model.parameters())
    if mode != "off":
        model = compiled(model, graphs=mode == "graphs")
    tokens = torch.randint(0, spec.vocab_size or 2, (rows, spec.seq_len)).to(device)

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = model(tokens, tokens) / tokens.numel()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def step_seconds(card: Card, step: Callable[[], None]) -> float:
    """Median by events of the device, so that only its own time counts."""
    for _ in range(WARM_STEPS if card.real else 1):
        step()
    seconds = []
    for _ in range(STEPS if card.real else 2):
        start, end = (card.module.Event(enable_timing=True) for _ in range(2))
        start.record()
        step()
        end.record()
        synchronize(card.device)
        seconds.append(start.elapsed_time(end) / 1e3)
    return statistics.median(seconds)


def kernels(card: Card) -> Found:
    step = stepper(card.device, shape_of(card, 768), 8 if card.real else 2, _mode(card))
    for _ in range(WARM_STEPS if card.real else 1):
        step()
    synchronize(card.device)
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if card.real else [])
    with profile(activities=kinds) as profiled:
        step()
        synchronize(card.device)
    events: Any = profiled.events() or []
    on_card = [event for event in events if event.device_type.name == "CUDA"]
    spans = sorted((event.time_range.start, event.time_range.end) for event in on_card)
    names = sorted({event.name for event in on_card})
    attention = [n for n in names if any(w in n.lower() for w in ("flash", "fmha", "attention"))]
    good = [name for name in attention if "flash" in name.lower() or "cudnn" in name.lower()]
    got = {
        "kernels": len(on_card),
        "busy_share": busy_share(spans),
        "attention": attention,
        "names": names,
    }
    if not card.real:
        return None, got
    return bool(attention) and good == attention, got


def busy_share(spans: list[tuple[float, float]]) -> float | None:
    """Share of the time from the first kernel's start to the last one's end in which one runs.

    Args:    spans: (start, end) of each, sorted.
    """
    if not spans:
        return None
    busy, reached = 0.0, spans[0][0]
    for start, end in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return busy / (reached - spans[0][0])


def utilisation(card: Card, d_model: int, goal: float) -> Found:
    """By a whole run, whose record says what it reached once it was compiled."""
    shape = shape_of(card, d_model)
    job = card.job(
        n_steps=RUN_STEPS if card.real else 2,
        rows=ROWS if card.real else 2,
        precision="bf16",
        d_model=shape.d_model,
        n_layers=shape.n_layers,
        seq_len=shape.seq_len,
        vocab_size=shape.vocab_size,
    )
    compile = "on" if card.real else "off"
    name = f"mfu-d{d_model}"
    record = card.trained(name, job, compile=compile, auto_micro_batch=True, n_evals=1)
    shutil.rmtree(card.out / "runs" / name, ignore_errors=True)  # 3 GB at the largest
    got = {
        key: getattr(record, key)
        for key in (
            *("n_params_total", "mfu", "tokens_per_second", "compile_seconds"),
            *("wall_seconds", "peak_memory_bytes", "device"),
        )
    }
    judged = card.real and record.mfu is not None and "H100" in card.name
    return (record.mfu >= goal if judged and record.mfu is not None else None), got


def factors(card: Card) -> Found:
    """Each with everything else as it is; graphs are off by default and switched on here."""
    ways: dict[str, tuple[str, Callable[[], Any]]] = {
        "as_is": (_mode(card), _nothing),
        "vocabulary_not_padded": (_mode(card), lambda: patch.object(loss, "ALIGNED_TO", 1)),
        "loss_of_all_logits_at_once": (
            _mode(card),
            lambda: patch.object(build, "chunked_loss", whole_loss),
        ),
        "loss_by_liger": (_mode(card), lambda: patch.object(build, "chunked_loss", liger_loss)),
        "forward_pass_of_transformers": (
            _mode(card),
            lambda: patch.object(build, "computes", lambda *_: False),
        ),
        "not_compiled": ("off", _nothing),
        "cuda_graphs": ("graphs" if card.real else "off", _nothing),
    }
    rows = 8 if card.real else 2
    spec = shape_of(card, 768)
    got: dict[str, Any] = {}
    for name, (mode, changed) in ways.items():
        if name == "loss_by_liger" and (lacking := liger_lacks(card.device.type)):
            got[name] = f"not measured: {lacking}"
            continue
        with changed():
            seconds = step_seconds(card, stepper(card.device, spec, rows, mode))
        got[name] = {"tokens_per_second": rows * spec.seq_len / seconds}
    return None, got


def _mode(card: Card) -> str:
    return "on" if card.real else "off"


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def whole_loss(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, **_: object
) -> torch.Tensor:
    logits = torch.nn.functional.linear(hidden, weight)
    return torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
