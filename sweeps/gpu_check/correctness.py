"""Checks of what must hold on any device: numbers, bits, waits, memory."""

import gc
from dataclasses import replace
from typing import Any

import torch

from sweeps.gpu_check.card import Card
from sweeps.gpu_check.results import Check
from train.engine.device import device_versions, is_usable, release_cached_memory
from train.model.build import SummedLoss, build_model
from train.model.optimizer import build_optimizer
from train.rundir.record import RunPaths, write_job

TOLERANCE = {"fp32": 1e-4, "bf16": 5e-3}

Found = tuple[bool | None, dict[str, Any]]


def checks(card: Card) -> list[Check]:
    """In the order in which their failure says most."""
    compiled = "off and on" if card.real else "off"
    return [
        Check("versions", "torch can compute on the card", lambda: versions(card)),
        Check(
            "losses",
            f"loss as on the CPU to 1e-4 (fp32) and 5e-3 (bf16), for Llama and GPT-2, text and "
            f"masked, whole and in micro-batches, compile {compiled}",
            lambda: losses(card),
        ),
        Check(
            "resume", "the bits of an uninterrupted run, deterministic=true", lambda: resume(card)
        ),
        Check("waits", "no wait for the device inside a step", lambda: waits(card)),
        Check("memory_left", "no byte left after each of four runs", lambda: memory_left(card)),
        Check(
            "out_of_memory",
            "with room for half the rows the run ends by itself, to the same loss",
            lambda: out_of_memory(card),
        ),
    ]


def versions(card: Card) -> Found:
    got = {"card": card.name, "torch": torch.__version__, **device_versions(card.device)}
    return is_usable(), got


def losses(card: Card) -> Found:
    got: dict[str, Any] = {}
    for data in ("text", "masked"):
        for family in ("llama", "gpt2"):
            for precision, tolerance in TOLERANCE.items():
                n_steps = 20 if card.real else 6
                job = card.job(data, n_steps, family=family, precision=precision)
                name = f"{data}-{family}-{precision}"
                expected = card.trained(f"{name}-cpu", job, device="cpu").loss
                ways = [("off", None), ("off", 3)] + ([("on", None)] if card.real else [])
                for compiled, rows in ways:
                    way = f"{name}-compile-{compiled}-rows-{rows or 'all'}"
                    record = card.trained(way, job, compile=compiled, micro_batch=rows)
                    assert expected is not None and record.loss is not None
                    apart = abs(record.loss / expected - 1)
                    got[way] = {
                        "relative_difference": apart,
                        "held": apart <= tolerance and record.device == card.name,
                        "device": record.device,
                    }
    return all(each["held"] for each in got.values()), got


def resume(card: Card) -> Found:
    """Stopped at the fifteenth step by the signal that a scheduler sends."""
    from train import run

    job = card.job(precision="bf16")
    runtime: dict[str, Any] = {"deterministic": True, "log_every": 5}
    card.trained("whole", job, **runtime)
    asked = run.stop_requests
    run.stop_requests = lambda: _StopAfter(15)  # type: ignore[assignment]
    try:
        run_dir = card.out / "runs" / "parts"
        write_job(run_dir, replace(job, runtime=replace(job.runtime, **runtime)))
        stopped = run.train_run(run_dir)
    finally:
        run.stop_requests = asked
    card.trained("parts", job, **runtime)
    files = [
        RunPaths(card.out / "runs" / name).checkpoint / "model.safetensors"
        for name in ("whole", "parts")
    ]
    same = files[0].read_bytes() == files[1].read_bytes()
    return stopped == "preempted" and same, {"stopped": stopped, "same_weights": same}


def waits(card: Card) -> Found:
    """Two optimiser steps in the mode in which a wait is an error."""
    job = card.job(precision="bf16")
    model = SummedLoss(build_model(job.spec.model, seed=0)).to(card.device)
    optimizer = build_optimizer(model, job.spec.optim, job.spec.model, card.device.type)
    rows = torch.randint(0, 61, (4, job.spec.model.seq_len)).pin_memory()
    card.module.synchronize()
    error = ""
    for masked in (False, True):
        card.module.set_sync_debug_mode("error")
        try:
            tokens = rows.to(card.device, non_blocking=True)
            with torch.autocast(card.device.type, torch.bfloat16):
                loss = model(tokens, tokens, masked=masked)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        except RuntimeError as caught:
            error = str(caught)
        finally:
            try:
                card.module.set_sync_debug_mode("default")
            except RuntimeError as caught:  # a stand-in reports at the end
                error = str(caught)
    return not error, {"error": error}


def memory_left(card: Card) -> Found:
    gc.collect()
    left = []
    before = card.module.memory_allocated()
    gc.disable()
    try:
        for number in range(4):
            precision = ("fp32", "bf16")[number % 2]
            card.trained(f"left-{number}", card.job(precision=precision, n_steps=10))
            left.append(card.module.memory_allocated() - before)
    finally:
        gc.enable()
    return not any(left), {"bytes": left}


def out_of_memory(card: Card) -> Found:
    job = card.job(n_steps=3)
    optim = replace(job.spec.optim, batch_tokens=256 * 64)
    horizon = replace(job.spec.horizon, n_tokens=3.0 * 256 * 64)
    job = replace(job, spec=replace(job.spec, optim=optim, horizon=horizon))
    roomy = card.trained("roomy", job)
    parts = card.trained("small-parts", job, micro_batch=64)
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


class _StopAfter:
    """A stop that is asked for at the given step."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __enter__(self) -> "_StopAfter":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0
