"""How fast the law of whole loss curves is fitted: 30 runs of 1,000 points.

    python -m benchmarks.curves

Ten sizes under three lengths of a cosine, off a known law with noise; processor seconds of one fit.
"""

import sys
import time

import numpy as np

from analysis.fits.curve_law.fit import fit_curve_law
from analysis.fits.curve_law.law import CurveLaw, Shape
from analysis.fits.curve_law.path import LossCurve, past_of
from benchmarks.figures import Figure, parse, report

N_POINTS, LONGEST_FIT = 1000, 5.0
SIZES = tuple(np.geomspace(1e6, 1e8, 10).tolist())
LAW = CurveLaw(
    {n: 1.5 + 20 * n**-0.3 for n in SIZES}, 0.5, 0.2, Shape(0.45, 300.0, 0.5, 0.6), 1e9, 0.0, 0
)


def curves(rng: np.random.Generator) -> list[LossCurve]:
    """Thirty runs with noise of 1 % a point, under cosines to a tenth after a warm-up."""
    found = []
    for size in SIZES:
        for length in (5e8, 1e9, 4e9):
            n_tokens = np.linspace(length / N_POINTS, length, N_POINTS)
            done = np.maximum(0.0, (n_tokens / length - 0.02) / 0.98)
            lr = np.minimum(n_tokens / (0.02 * length), 0.55 + 0.45 * np.cos(np.pi * done))
            loss = LAW.loss(size, past_of(n_tokens, lr)) * np.exp(rng.normal(0, 0.01, N_POINTS))
            found.append(LossCurve(f"{size:.3g}-{length:.0e}", size, n_tokens, lr, loss))
    return found


def main(arguments: list[str]) -> int:
    """Print the seconds and the residuals' rms."""
    settings = parse(arguments, __doc__, ())
    made = curves(np.random.default_rng(0))
    started, clock = time.process_time(), time.perf_counter()
    law = fit_curve_law(made)
    seconds, clock = time.process_time() - started, time.perf_counter() - clock
    print(f"{len(made)} runs of {N_POINTS:,} points: {seconds:.2f} s of the processor, "
          f"{clock:.2f} s of the clock, rms {law.rms:.4f}, {law.status}")  # fmt: skip
    name = f"curve law of {len(made)} runs of {N_POINTS:,} points"
    return report([Figure(name, seconds, "s", at_most=LONGEST_FIT)], settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
