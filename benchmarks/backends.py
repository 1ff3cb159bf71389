"""What another processor changes of a loss, beside what another seed changes.

    python -m benchmarks.backends [out=results/backends] [other=DIR]

Processors differ in how they round a product, and a run amplifies that. The demo's IsoFLOP grid is
trained as this processor does it, and once more with its libraries told that it has AVX2 alone,
which changes the order of every sum: the same specs and seeds, other last digits. Printed: the
relative difference of losses between the two, run by run, beside that between the seeds of a cell.
`other=DIR` compares the runs of a sweep from another machine, by run_id, and trains nothing. Both
sweeps go on where they were stopped.
"""

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.figures import Figure, parse, report

NARROW = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
"""What PyTorch, MKL and oneDNN read of a processor's instructions before they choose their code."""

BACK_ENDS: dict[str, dict[str, str]] = {"own": {}, "avx2": NARROW}
GRID = (
    "preset=demo",
    "~sweep.grids.codebook",
    "~sweep.grids.addition",
    "~sweep.grids.addition_seeds",
)


def train(root: Path) -> None:
    """Both sweeps, eager and by PyTorch's own calls, so that instructions are all that differs."""
    for name, environment in BACK_ENDS.items():
        command = [sys.executable, "-P", "-m", "isoflop", "sweep", "launch", str(root / name)]
        chosen = ["runtime.kernels=library", "runtime.compile=off"]
        subprocess.run(
            [*command, *GRID, *chosen], check=True, stdout=sys.stderr, env=os.environ | environment
        )


def finished(root: Path) -> pd.DataFrame:
    """The finished runs of a sweep: log loss, n_params and n_tokens by run_id."""
    path = root / "runs.parquet"
    if not path.is_file():
        sys.exit(f"{path} is missing; give the directory of a sweep that was launched or collected")
    table = pd.read_parquet(path).set_index("run_id")
    done = table[table["status"] == "finished"]
    columns = {"n_params": done["n_params"], "n_tokens": done["n_tokens"]}
    return pd.DataFrame({"log_loss": np.log(done["loss"].astype(float)), **columns})


def between(one: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    """ln(loss of the other / loss of one) of the runs that both have."""
    return pd.Series(other["log_loss"] - one["log_loss"]).dropna()


def between_seeds(runs: pd.DataFrame) -> pd.Series:
    """Differences of ln(loss) of every two seeds of a cell."""
    pairs = [
        second - first
        for _, cell in runs.groupby(["n_params", "n_tokens"])["log_loss"]
        for first, second in combinations(cell, 2)
    ]
    return pd.Series(pairs, dtype=float)


def rms(differences: pd.Series) -> float:
    return float(np.sqrt(np.mean(differences**2)))


def figures_of(one: pd.DataFrame, other: pd.DataFrame) -> list[Figure]:
    """Spreads in per cent of the loss; rms of differences of two runs, so sqrt(2) times a run's."""
    rounding = between(one, other)
    if rounding.empty:
        sys.exit("the two sweeps share no finished run; give sweeps of the same specs")
    seeds = between_seeds(one)
    found = [
        Figure("runs that both have", float(len(rounding))),
        Figure("runs whose loss differs", float((rounding != 0).sum())),
        Figure("rms difference of a run", 100 * rms(rounding), "%"),
        Figure("largest difference of a run", 100 * float(rounding.abs().max()), "%"),
        Figure("mean difference, with its sign", 100 * float(rounding.mean()), "%"),
    ]
    if len(seeds):
        found.append(Figure("rms difference of two seeds", 100 * rms(seeds), "%"))
        found.append(Figure("rounding over seeds", rms(rounding) / rms(seeds), "x"))
    return found


def main(arguments: list[str]) -> int:
    given = parse(arguments, __doc__, ("out", "other"))
    root = Path(given.get("out", "results/backends"))
    if "other" in given:
        first, second = root, Path(given["other"])
    else:
        train(root)
        first, second = (root / name for name in BACK_ENDS)
    return report(figures_of(finished(first), finished(second)), given)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
