"""Approach 1 by what it reads: four validation losses per run, or smoothed training losses.

    python -m benchmarks.coverage_envelope [n_replicates]

Simulated sweeps on known surfaces: curves that no schedule lifts, and a cosine's, which lie above
runs that end there (benchmarks.coverage). A training loss has noise of its own at each of a
thousand logged points. Printed are the share of 95 % intervals of a that hold the truth, their
median width, and the bias of a.
"""

import sys

import numpy as np

from analysis.data.run_arrays import Curves
from analysis.data.training.smoothed import smoothed
from analysis.fits.envelope import fit_envelope
from analysis.fits.surface import Surface
from analysis.stats.resampling import percentile_interval, resample_counts
from analysis.studies.bootstrap import envelope_draws
from benchmarks.designs import DESIGNS

LOGGED = 1000
BATCH_NOISE = 0.02
"""Standard deviation of the log of one logged training loss."""

START = 0.1
"""Share of a run at which its warm-up ends."""

N_RESAMPLES = 200
EVALUATIONS = np.linspace(0.25, 1, 4)
UNDECAYED = 0.06
"""As in benchmarks.coverage."""


def evaluations(
    runs: tuple[np.ndarray, ...], surface: Surface, excess: float, rng: np.random.Generator
) -> Curves:
    """Four validation losses along each run, the last at its end."""
    del rng  # validation has no noise beyond the seed's
    return _joined(runs, [(EVALUATIONS * d, None) for d in runs[2]], surface, excess)


def training(
    runs: tuple[np.ndarray, ...], surface: Surface, excess: float, rng: np.random.Generator
) -> Curves:
    """Smoothed training losses of each run."""
    parts = []
    share = np.arange(1, LOGGED + 1) / LOGGED
    for n, d, loss in zip(*runs[1:], strict=True):
        seed = loss / surface.loss(n, d)
        middle = share - 0.5 / LOGGED
        clean = surface.loss(n, d * middle) * seed * np.exp(excess * (1 - middle))
        noisy = clean * np.exp(rng.normal(0, BATCH_NOISE, LOGGED))
        parts.append(smoothed(share * d, noisy, START * d))
    run = np.repeat(np.arange(len(parts)), [len(p.loss) for p in parts])
    tokens, losses, error = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("n_tokens", "loss", "error")
    )
    return Curves(run, runs[1][run], tokens, 6 * runs[1][run] * tokens, losses, error)


def _joined(runs: tuple[np.ndarray, ...], places: list, surface: Surface, excess: float) -> Curves:
    _, n_params, n_tokens, loss = runs
    run = np.repeat(np.arange(len(loss)), [len(tokens) for tokens, _ in places])
    tokens = np.concatenate([tokens for tokens, _ in places])
    seed = (loss / surface.loss(n_params, n_tokens))[run]
    lifted = np.exp(excess * (1 - tokens / n_tokens[run]))
    losses = surface.loss(n_params[run], tokens) * seed * lifted
    return Curves(run, n_params[run], tokens, 6 * n_params[run] * tokens, np.asarray(losses))


READINGS = {"four evaluations": evaluations, "smoothed training loss": training}


def main(n_replicates: int) -> None:
    """Print a line per design, schedule and reading."""
    for design in (one for one in DESIGNS if isinstance(one.surface, Surface)):
        print(f"\n{design.name}, {n_replicates} replicates", flush=True)
        for schedule, excess in (("no decay", 0.0), ("cosine", UNDECAYED)):
            for name, read in READINGS.items():
                rng = np.random.default_rng(1)
                found = [_judged(design.runs(rng), design.surface, excess, read, rng)
                         for _ in range(n_replicates)]  # fmt: skip
                held, width, bias = np.array(found).T
                print(
                    f"  {schedule:9} {name:24} holds {held.mean():6.1%}  width "
                    f"{np.median(width):.3f}  bias {bias.mean():+.3f}  SD {bias.std():.3f}",
                    flush=True,
                )


def _judged(runs, surface, excess, read, rng) -> tuple[float, float, float]:
    curves = read(runs, surface, excess, rng)
    counts = resample_counts(len(runs[0]), N_RESAMPLES, rng)
    low, high = percentile_interval(envelope_draws(curves, counts, "bins").laws[:, 0])
    truth = float(surface.a)
    return float(low <= truth <= high), high - low, fit_envelope(curves).a - truth


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
