"""Speed of the matrix products of a linear map, by F.linear, oneDNN, in bf16: one thread, GFLOP/s.

    python -m benchmarks.products

Forward and gradient of inputs are alike; the gradient of weights has factors to turn. What a run
takes of it is measured on every machine (`isoflop train --explain-speed`).
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from benchmarks.figures import Figure, parse, report
from train.model.linear import ONEDNN, onednn_product, onednn_weight_gradient

SHAPES = [(rows, d, d) for rows in (512, 2048) for d in (16, 32, 64, 128, 256)]
SHAPES += [(2048, 128, 344), (2048, 256, 680), (512, 16, 257), (2048, 128, 512)]


def seconds(task: Callable[[], object]) -> float:
    """Median CPU seconds of a call."""
    task()
    found = []
    for _ in range(9):
        started = time.process_time()
        for _ in range(10):
            task()
        found.append((time.process_time() - started) / 10)
    return statistics.median(found)


def main(arguments: list[str]) -> int:
    settings = parse(arguments, __doc__, ())
    torch.set_num_threads(1)
    figures = []
    for rows, d_in, d_out in SHAPES:
        x, weight, grad = (
            torch.randn(rows, d_in),
            torch.randn(d_out, d_in),
            torch.randn(rows, d_out),
        )
        low_x, low_weight = x.bfloat16(), weight.bfloat16()
        tasks: dict[str, Callable[[], object]] = {
            "F.linear": lambda x=x, w=weight: F.linear(x, w),
            "bf16": lambda x=low_x, w=low_weight: F.linear(x, w),
            "F.linear, weights": lambda x=x, g=grad: g.t() @ x,
        }
        if ONEDNN:
            tasks["oneDNN"] = lambda x=x, w=weight: onednn_product(x, w)
            tasks["oneDNN, weights"] = lambda x=x, g=grad: onednn_weight_gradient(g, x)
        for name, task in tasks.items():
            speed = 2e-9 * rows * d_in * d_out / seconds(task)
            figures.append(Figure(f"{rows} x {d_in} x {d_out} {name}", speed, "GFLOP/s"))
    return report(figures, settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
