"""How fast this machine trains: real steps of a few sizes, timed once and kept in a cache."""

import json
import logging
import os
import platform
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from sweeps.plan.cost_model import Speed
from train.config.flops import flops_per_token
from train.config.resolve import DataFacts, resolve
from train.config.run_config import RuntimeSpec
from train.config.spec import DataSpec, HorizonSpec, ModelSpec, OptimSpec, RunSpec, SourceSpec
from train.data.file_io import cache_dir
from train.rundir.atomic import RecordError, write_json

SIZES = {
    "cpu": ((32, 2048), (96, 2048), (256, 1024)),
    "gpu": ((128, 65536), (512, 65536), (1024, 32768)),
}
"""(width, tokens a step) timed on each kind of device."""

WARM_STEPS, TIMED_STEPS = 2, 4

CODE = 2
"""Raised when a change of ours makes steps much faster or slower, so that they are timed anew."""

log = logging.getLogger(__name__)


def speeds(runtime: RuntimeSpec, precision: str, on_gpu: bool) -> list[Speed]:
    """Measured speeds of this machine, from the cache or by timing a few steps now (seconds).

    The cache is keyed by all that the numbers depend on: processor or GPU, threads, precision,
    torch's version and `CODE`.
    """
    path = cache_dir() / "calibration" / f"{_key(runtime, precision, on_gpu)}.json"
    cached = _read(path)
    if cached:
        return cached
    measured = measure(runtime.threads, precision, on_gpu)
    try:
        write_json(path, [asdict(speed) for speed in measured])
    except RecordError as error:
        log.warning("calibration is not kept: %s", error)
    return measured


def measure(threads: int, precision: str, on_gpu: bool) -> list[Speed]:
    """Tokens a second of a training step (forward, backward, AdamW) at each of `SIZES`."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return [
            _time_size(d_model, n_tokens, precision, "cuda" if on_gpu else "cpu")
            for d_model, n_tokens in SIZES["gpu" if on_gpu else "cpu"]
        ]
    finally:
        torch.set_num_threads(before)


def _time_size(d_model: int, n_tokens: int, precision: str, device: str) -> Speed:
    import torch

    from train.model.build import SummedLoss, build_model
    from train.model.optimizer import build_optimizer

    spec = resolve(
        RunSpec(
            data=DataSpec(parts={"timing": SourceSpec()}),
            horizon=HorizonSpec(n_tokens=1e9),
            model=ModelSpec(d_model=d_model, seq_len=128),
            optim=OptimSpec(batch_tokens=n_tokens),
            precision=precision,
        ),
        DataFacts(fingerprint="timing", vocab_size=257, n_train_tokens={"timing": None}),
    )
    shape = spec.model
    model = SummedLoss(build_model(shape, seed=0)).to(device)
    optimizer = build_optimizer(model, spec.optim, shape, device)
    tokens = torch.zeros(n_tokens // shape.seq_len, shape.seq_len, dtype=torch.long, device=device)
    bf16 = torch.autocast(device, torch.bfloat16, enabled=spec.precision == "bf16")
    started = 0.0
    for step in range(WARM_STEPS + TIMED_STEPS):
        if step == WARM_STEPS:
            _wait(device)
            started = time.perf_counter()
        with bf16:
            loss = model(tokens, tokens)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    _wait(device)
    elapsed = time.perf_counter() - started
    return Speed(float(flops_per_token(shape)), TIMED_STEPS * n_tokens / elapsed)


def _wait(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def _key(runtime: RuntimeSpec, precision: str, on_gpu: bool) -> str:
    machine = _gpu_name() if on_gpu else f"{_processor()}-{runtime.threads}t"
    text = f"{machine}-{precision}-torch{version('torch')}-code{CODE}"
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in text)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpu_name() -> str:
    from sweeps.plan.machine import gpu_names

    return next(iter(gpu_names().values()), os.environ.get("CUDA_VISIBLE_DEVICES", "gpu"))


def _read(path: Path) -> list[Speed]:
    """Cached speeds; a missing or damaged file counts as none."""
    try:
        return [Speed(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []
