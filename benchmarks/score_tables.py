"""A table of scores the size of BIG-bench's: seconds to a report, and the page's megabytes.

    python -m benchmarks.score_tables [curves=5000] [json=PATH]

200 tasks x 5 metrics x 5 families of 12 models: 60,000 scores, 5,000 curves, on as many cores as
the process may use.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.emergence.tables.read import ScoreOptions
from analysis.sections.score_table import report_scores
from benchmarks.figures import Figure, parse, report

MODELS, FAMILIES, METRICS = 12, 5, 5
MOST_SECONDS, MOST_MEGABYTES = 60.0, 20.0


def scores(n_curves: int) -> pd.DataFrame:
    """Rows of curves that rise (one metric in five sharply), with noise, as a long table."""
    rng = np.random.default_rng(0)
    size = np.geomspace(1e7, 1e11, MODELS)
    frames = []
    for i in range(n_curves):
        metric, rest = i % METRICS, i // METRICS
        family, task = rest % FAMILIES, rest // FAMILIES
        steep = 3.0 if metric == 0 else 0.4
        value = 1 / (1 + (size / 1e9) ** -steep) + 0.03 * rng.normal(size=MODELS)
        frames.append(pd.DataFrame({
            "model": [f"f{family}-{n:.0f}" for n in size], "family": f"family {family}",
            "params": size, "task": f"task_{task}", "metric": f"metric_{metric}",
            "n_shots": 0, "value": value, "chance": 0.25,
        }))  # fmt: skip
    return pd.concat(frames)


def main(arguments: list[str]) -> int:
    given = parse(arguments, __doc__, ("curves",))
    n_curves = int(given.get("curves", 5000))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "scores.csv"
        scores(n_curves).to_csv(path, index=False)
        started, spent = time.perf_counter(), time.process_time()
        page = report_scores(path, ScoreOptions(), Path(scratch) / "out", None, "benchmark")
        seconds, spent = time.perf_counter() - started, time.process_time() - spent
        megabytes = page.stat().st_size / 1e6
    return report(
        [
            Figure(f"report on {n_curves:,} curves of scores", seconds, "s", at_most=MOST_SECONDS),
            Figure("processor time of it", spent, "s"),
            Figure("its page", megabytes, "MB", at_most=MOST_MEGABYTES),
        ],
        given,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
