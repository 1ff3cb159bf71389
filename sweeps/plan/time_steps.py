"""`python -m sweeps.plan.time_steps [SECONDS]`: times training steps of jobs, a line of JSON.

Started by `sweeps.plan.throughput` with the device, if any, in CUDA_VISIBLE_DEVICES; the last line
printed are the speeds. Of several processes that time together, each job for so many seconds, each
says "ready" before the timed steps and waits for "go", or says "full" where the job does not fit
beside the others.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

import torch

from sweeps.plan.cost_model import Speed
from train.commands.terminal import say
from train.config.flops import flops_per_token
from train.config.run_config import RunConfig, job_from_json
from train.config.spec import IsoflopError, known
from train.engine.compile import compiled
from train.model.build import SummedLoss, build_model
from train.model.liger import head_loss
from train.model.optimizer import build_optimizer
from train.speed.choice import best_choice

STEP_FLOPS = {"cpu": 3e10, "gpu": 1e14}
"""FLOPs of a timed pass: about half a second on a core, a third of one on a data-centre GPU."""

WARM_STEPS, TIMED_STEPS = 2, 4

SIZE_SECONDS = 10.0
"""Time after which no further step of a size is timed."""


class _StoppedError(Exception):
    """The parent asks for no more: a job does not fit beside its neighbours."""


class _Start:
    """What happens between a job's warm and its timed steps, which last `least` seconds.

    None is no time at all, for a process alone.
    """

    def __init__(self, least: float | None) -> None:
        self.least = least
        self.begun = False

    def __call__(self) -> None:
        self.begun = True
        if self.least is None:
            return
        print("ready", flush=True)
        if sys.stdin.readline().strip() != "go":
            raise _StoppedError


def time_job(job: RunConfig, device: torch.device, together: float | None = None) -> Speed:
    """Tokens per second of whole optimiser steps: passes over part of a batch, then AdamW.

    A pass takes as many rows as `STEP_FLOPS` and the device's memory allow, and a step as many
    passes as its batch needs, since both are what a run would do.

    Args:    together: seconds for which other processes time theirs at the same time.

    Raises:  torch.OutOfMemoryError: not even one row fits.
    """
    start = _Start(together)
    spec = job.spec
    size = flops_per_token(spec.model)
    batch_tokens = known(spec.optim.batch_tokens, "optim.batch_tokens")
    kind = "cpu" if device.type == "cpu" else "gpu"
    rows = min(
        job.runtime.micro_batch or batch_tokens // spec.model.seq_len,
        batch_tokens // spec.model.seq_len,
        int(STEP_FLOPS[kind] / size / spec.model.seq_len),
    )
    rows = max(1, rows)
    while True:
        try:
            a_pass, an_update = _seconds(job, device, rows, start)
            break
        except torch.OutOfMemoryError:
            if rows == 1 or start.begun:
                raise
        rows //= 2  # outside the handler, whose error holds the tensors of the failed pass
    n_passes = batch_tokens / (rows * spec.model.seq_len)
    return Speed(float(size), batch_tokens / (n_passes * a_pass + an_update))


def _seconds(job: RunConfig, device: torch.device, rows: int, start: _Start) -> tuple[float, float]:
    """Median seconds of a forward and backward pass over so many rows, and of an update."""
    spec = job.spec
    choice = best_choice(job, device.type, measure=False)
    module: torch.nn.Module = SummedLoss(
        build_model(spec.model, seed=0), choice.kernels, head_loss=head_loss(choice.liger)
    ).to(device)
    optimizer = build_optimizer(module, spec.optim, spec.model, device.type)
    if choice.compiled:
        module = compiled(module)
    tokens = torch.zeros(rows, spec.model.seq_len, dtype=torch.long, device=device)
    bf16 = torch.autocast(device.type, torch.bfloat16, enabled=spec.precision == "bf16")

    def one_pass() -> None:
        with bf16:
            loss = module(tokens, tokens)
        loss.backward()

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(WARM_STEPS):
        _timed(one_pass, device)
        _timed(update, device)
    start()
    times: list[tuple[float, float]] = []
    started, least = time.perf_counter(), start.least or 0.0
    while len(times) < TIMED_STEPS or time.perf_counter() - started < least:
        times.append((_timed(one_pass, device), _timed(update, device)))
        if time.perf_counter() - started > SIZE_SECONDS:
            break
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def _timed(call: Callable[[], None], device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()
    return time.perf_counter() - started


def _device(visible: str) -> torch.device:
    """The accelerator, where one is meant to be seen.

    Raises:  IsoflopError: torch can't use it, though nvidia-smi may list it.
    """
    if not visible:
        return torch.device("cpu")
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        raise IsoflopError(f"torch {torch.__version__} can't use device {visible}")
    return device


def main(argv: list[str]) -> int:
    together = float(argv[0]) if argv else None
    jobs = [job_from_json(content) for content in json.loads(sys.stdin.readline())]
    torch.set_num_threads(jobs[0].runtime.threads)
    measured: list[Speed] = []
    try:
        device = _device(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        for job in jobs:
            measured.append(time_job(job, device, together))
    except _StoppedError:
        pass
    except torch.OutOfMemoryError as error:
        if together is not None:
            print("full", flush=True)
        elif not measured:
            say(f"one row of the smallest model does not fit: {error}", sys.stderr)
            return 1
    except IsoflopError as error:
        say(error, sys.stderr)
        return 1
    print(json.dumps([asdict(speed) for speed in measured]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
