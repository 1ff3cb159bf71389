"""What a GPU makes of a training step: MFU by size, compile, attention, losses, packed tiny runs.

    python -m benchmarks.gpu [sizes=768,1024,2048] [json=gpu.json]

Not yet run on a GPU. Without one it says so and ends with status 2. Each line is a median of timed
steps after warm-up, in bf16 through `SummedLoss` as a run trains; MFU is this project's FLOPs a
token over the card's dense bf16 peak. Packing starts several processes of a tiny model at once.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.figures import Figure, parse, report
from train.config.flops import count_params, flops_per_token
from train.config.gpu_peaks import peak_bf16_flops
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec, OptimSpec
from train.model.build import SummedLoss, build_model
from train.model.optimizer import build_optimizer

NO_GPU = 2
WIDTHS = (512, 768, 1024, 1536, 2048)
"""About 40M to 1.3B parameters with the ladder's depths and a vocabulary of 50,304."""

COMPILE_MODES = ("off", "default", "reduce-overhead", "max-autotune-no-cudagraphs")
PACKED = (1, 2, 4, 8)
TINY = ModelSpec(d_model=64, vocab_size=512, seq_len=256)
STEPS, WARMUP = 20, 5


def shape(d_model: int, vocab_size: int = 50_304) -> ModelSpec:
    return complete_shape(ModelSpec(d_model=d_model, vocab_size=vocab_size, seq_len=1024))


def stepper(spec: ModelSpec, rows: int, mode: str = "off") -> Callable[[], None]:
    """One optimiser step on a fixed random batch."""
    optim = OptimSpec(lr_peak=1e-3, weight_decay=0.1, beta2=0.95)
    model = build_model(spec, seed=0).to("cuda")
    optimizer = build_optimizer(model, optim, spec, "cuda")
    module: Any = SummedLoss(model)
    if mode != "off":
        module = torch.compile(module, mode=mode)
    tokens = torch.randint(0, spec.vocab_size or 2, (rows, spec.seq_len), device="cuda")

    def step() -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = module(tokens, tokens) / tokens.numel()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def step_seconds(step: Callable[[], None]) -> float:
    """Median of events on the device, so that only its own time counts."""
    for _ in range(WARMUP):
        step()
    seconds = []
    for _ in range(STEPS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        step()
        end.record()
        torch.cuda.synchronize()
        seconds.append(start.elapsed_time(end) / 1e3)
    return statistics.median(seconds)


@contextmanager
def attention(name: str) -> Iterator[None]:
    """`flash`, `efficient` or `math` alone; `auto` leaves the choice to PyTorch."""
    kinds = {
        "flash": SDPBackend.FLASH_ATTENTION,
        "efficient": SDPBackend.EFFICIENT_ATTENTION,
        "math": SDPBackend.MATH,
    }
    if name == "auto":
        yield
        return
    with sdpa_kernel(kinds[name]):
        yield


def utilisation(spec: ModelSpec, rows: int, seconds: float, peak: float | None) -> float | None:
    """Share of the peak; None for a card whose peak is not known."""
    return None if peak is None else rows * spec.seq_len * flops_per_token(spec) / seconds / peak


def by_size(widths: list[int], peak: float | None) -> list[Figure]:
    figures = []
    for d_model in widths:
        spec = shape(d_model)
        millions = count_params(spec).n_params_total / 1e6
        seconds = step_seconds(stepper(spec, rows=8, mode="default"))
        name = f"d{d_model} ({millions:,.0f}M parameters), compiled"
        figures.append(Figure(f"{name}, MFU", utilisation(spec, 8, seconds, peak)))
        figures.append(Figure(f"{name}, speed", 8 * spec.seq_len / seconds / 1e3, "k tokens/s"))
        torch.cuda.empty_cache()
    return figures


def by_choice() -> list[Figure]:
    """Compile modes, attention kernels, and a large vocabulary with the loss fused or not."""
    spec, rows = shape(768), 8
    speed = rows * spec.seq_len / 1e3
    figures = [
        Figure(
            f"d768 compile={mode}", speed / step_seconds(stepper(spec, rows, mode)), "k tokens/s"
        )
        for mode in COMPILE_MODES
    ]
    for name in ("auto", "flash", "efficient", "math"):
        with attention(name), torch.autocast("cuda", dtype=torch.bfloat16):
            seconds = step_seconds(stepper(spec, rows))
        figures.append(Figure(f"d768 attention={name}", speed / seconds, "k tokens/s"))
    for mode in ("off", "default"):
        large = shape(768, vocab_size=128_256)
        torch.cuda.reset_peak_memory_stats()
        seconds = step_seconds(stepper(large, rows, mode))
        gigabytes = torch.cuda.max_memory_allocated() / 1e9
        kind = "fused by the compiler" if mode != "off" else "eager"
        figures.append(Figure(f"vocabulary 128,256, loss {kind}", speed / seconds, "k tokens/s"))
        figures.append(Figure(f"vocabulary 128,256, loss {kind}, peak memory", gigabytes, "GB"))
    return figures


def packed() -> list[Figure]:
    """Tokens a second of all processes together, each with a tiny model of its own."""
    figures = []
    for count in PACKED:
        command = [sys.executable, "-m", "benchmarks.gpu", "tiny=yes"]
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)
        ]
        speeds = [float(process.communicate()[0]) for process in processes]
        figures.append(Figure(f"d64, {count} runs on the card", sum(speeds) / 1e3, "k tokens/s"))
    return figures


def tiny_speed() -> float:
    """Tokens a second of one tiny model over ten seconds, by the wall clock."""
    step = stepper(complete_shape(TINY), rows=8)
    for _ in range(WARMUP):
        step()
    torch.cuda.synchronize()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < 10:
        step()
        torch.cuda.synchronize()
        count += 1
    return count * 8 * TINY.seq_len / (time.perf_counter() - started)


def main(arguments: list[str]) -> int:
    settings = parse(arguments, __doc__, ("sizes", "tiny"))
    if not torch.cuda.is_available():
        print(f"no GPU here (torch {torch.__version__}); nothing was measured", file=sys.stderr)
        return NO_GPU
    if "tiny" in settings:
        print(tiny_speed())
        return 0
    card = torch.cuda.get_device_name(0)
    peak = peak_bf16_flops(card)
    widths = [int(width) for width in settings["sizes"].split(",")] if "sizes" in settings else []
    return report(by_size(widths or list(WIDTHS), peak) + by_choice() + packed(), settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
