"""How often the interval of a run's predicted end holds the loss that it ends with.

    python -m benchmarks.coverage_ends [n_replicates] [curves]

Simulated IsoFLOP sweeps under a cosine, of which some runs are finished and one is in progress, at
several shares of its tokens. Losses follow the law of whole curves, or another form: a surface in N
and D, lifted in proportion to what is left of the run. Runs differ by a seed each, points by noise.
"""

import sys
from collections import defaultdict

import numpy as np

from analysis.fits.curve_law.law import CurveLaw, Shape
from analysis.fits.curve_law.path import LossCurve, past_of
from analysis.studies.curves.in_progress import EndPredictor, FinishedRun
from analysis.studies.curves.study import FARTHEST, study_curves
from benchmarks.designs import SMALL
from train.config.lr_schedule import learning_rate

SIZES = np.geomspace(5e3, 1.6e5, 6)
BUDGETS = np.geomspace(2e11, 3.2e12, 3)
SHARES = (0.25, 0.5, 0.8)
N_FINISHED = (6, 12)
SEEDS, BATCHES, VALIDATION = 0.0065, 0.02, 0.002
EXCESS = 0.06
POINTS = 300
OWN = CurveLaw(
    {n: 1.2 + 4 * n**-0.3 for n in SIZES}, 0.5, 0.2, Shape(0.45, 300.0, 0.5, 0.6), 1e6, 0.0, 0
)


def schedule(end: float) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and rates of a cosine of that length."""
    rates = [
        learning_rate(step, schedule="cosine", n_steps=POINTS, warmup_steps=POINTS // 50,
                      lr_peak=1e-2, final_fraction=0.1)
        for step in range(POINTS)
    ]  # fmt: skip
    return end * np.arange(1, POINTS + 1) / POINTS, np.array(rates)


def losses(form: str, size: float, tokens: np.ndarray, lr: np.ndarray) -> np.ndarray:
    """The loss along a run, without noise."""
    if form == "own":
        return OWN.loss(size, past_of(tokens, lr))
    return np.asarray(SMALL.loss(size, tokens)) * np.exp(EXCESS * (1 - tokens / tokens[-1]))


def runs(form: str, rng: np.random.Generator) -> list[FinishedRun]:
    """A sweep's runs, all finished."""
    made = []
    for size in SIZES:
        for budget in BUDGETS:
            tokens, lr = schedule(budget / (6 * size))
            clean = losses(form, size, tokens, lr) * np.exp(rng.normal(0, SEEDS))
            noisy = clean * np.exp(rng.normal(0, BATCHES, POINTS))
            end = 1.02 * clean[-1] * np.exp(rng.normal(0, VALIDATION))
            curve = LossCurve(f"{size:.4g} {budget:.4g}", float(size), tokens, lr, noisy)
            made.append(FinishedRun(curve, float(end)))
    return made


def main(n_replicates: int) -> None:
    """Print coverage, median half width and rms error by form, share and number of runs."""
    for form in ("own", "another"):
        found = defaultdict(list)
        rng = np.random.default_rng(0)
        for _ in range(n_replicates):
            made = runs(form, rng)
            order = rng.permutation(len(made))
            for n in N_FINISHED:
                predictor = EndPredictor.of([made[i] for i in order[:n]])
                for i in order[n:][:4]:
                    for share in SHARES:
                        found[n, share].append(_judged(predictor, made[i], share))
        for (n, share), rows in found.items():
            known = [row for row in rows if row is not None]
            held, half, off = np.array(known).T
            print(
                f"{form:8} {n:3} finished, {share:.0%} done: holds {held.mean():6.1%} of "
                f"{len(known)}, half width {np.median(half):.2%}, rms error "
                f"{np.sqrt(np.mean(off**2)):.2%}; {len(rows) - len(known)} refused",
                flush=True,
            )


def whole_curves(n_replicates: int) -> None:
    """Print how often ends of curves that were not fitted lie in their interval."""
    for form in ("own", "another"):
        rng, held, halves = np.random.default_rng(1), [], []
        for _ in range(n_replicates):
            curves = [run.curve for run in runs(form, rng)]
            names = [curves[i].name for i in rng.permutation(len(curves))[:10]]
            made = study_curves(curves, names)
            longest = max(c.n_tokens[-1] for c in curves if c.name in names)
            half = made.end_half_width
            held += [
                abs(error.end_error) <= half
                for error, c in ((e, next(c for c in curves if c.name == e.name))
                                 for e in made.errors if not e.fitted)
                if np.isfinite(half) and c.n_tokens[-1] <= FARTHEST * longest
            ]  # fmt: skip
            halves.append(half)
        print(
            f"{form:8} ends of other curves: holds {np.mean(held):6.1%} of {len(held)}, half width "
            f"{np.nanmedian(halves):.2%}",
            flush=True,
        )


def _judged(
    predictor: EndPredictor, run: FinishedRun, share: float
) -> tuple[float, float, float] | None:
    curve, n = run.curve, int(share * POINTS)
    cut = LossCurve(curve.name, curve.size, curve.n_tokens[:n], curve.lr[:n], curve.loss[:n])
    end = predictor.predict(cut, curve.n_tokens, curve.lr)
    if not end.known:
        return None
    held = end.low <= run.loss <= end.high
    return float(held), (end.high - end.low) / 2 / end.loss, float(np.log(end.loss / run.loss))


if __name__ == "__main__":
    asked = [int(word) for word in sys.argv[1:] if word.isdigit()]
    (whole_curves if "curves" in sys.argv else main)(asked[0] if asked else 40)
