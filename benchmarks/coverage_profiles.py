"""Coverage of approach 2 on grids as people have them, where L is additive and where it is not.

    python -m benchmarks.coverage profiles [n_replicates] [quick]

Three surfaces obey L = E + A/N^alpha + B/D^beta; on three others a term is added that no fit knows.
Budgets of 1e18 to 1e21 FLOPs, each grid off the optimum by up to half an e-fold. Four things are
judged, each by whether its 95 % interval holds the truth: a, and at the last budget N_opt and the
loss there by the profile's own interval, and N_opt by the law's band. `quick` takes two of the five
grids. docs/method.md holds the result.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from analysis.errors import Numbers
from analysis.fits.isoflop import IsoflopFit, fit_isoflop
from analysis.fits.surface import Surface

Loss = Callable[[np.ndarray, np.ndarray], Numbers]

BESIROGLU = Surface(1.817, 482.0, 2085.0, 0.3478, 0.3658)
ADDITIVE: dict[str, Loss] = {
    "alpha .34, beta .28": Surface(1.7, 450.0, 420.0, 0.34, 0.28).loss,
    "alpha .28, beta .45": Surface(1.7, 100.0, 20000.0, 0.28, 0.45).loss,
    "Besiroglu et al.": BESIROGLU.loss,
}
MISFIT: dict[str, Loss] = {
    "short runs": lambda N, D: BESIROGLU.loss(N, D) + (3e8 / D) ** 1.5,
    "large models": lambda N, D: BESIROGLU.loss(N, D) + 0.02 * (N / 3e9) ** 0.7,
    "warm-up": lambda N, D: BESIROGLU.loss(N, D) * np.exp(0.12 * np.log1p((6e8 / D) ** 3)),
}
NOISES = (0.004, 0.0138)
CURVES = ("skewed", "parabola", "softened")
JUDGED = ("a", "N_opt", "loss", "band")


@dataclass(frozen=True)
class Grid:
    """Budgets, sizes per budget, and the factor in N that they span."""

    n_budgets: int
    n_sizes: int
    span: float

    @property
    def name(self) -> str:
        return f"{self.n_budgets} x {self.n_sizes} over {self.span:g}"


GRIDS = (Grid(3, 6, 16), Grid(4, 7, 4), Grid(5, 7, 16), Grid(8, 10, 64), Grid(11, 12, 256))
QUICK = (GRIDS[0], GRIDS[3])


@dataclass(frozen=True)
class Truth:
    """Of one surface and grid: the budgets, and log N and log L of each one's optimum."""

    flops: np.ndarray
    log_n: np.ndarray
    log_loss: np.ndarray


def truth(loss: Loss, n_budgets: int) -> Truth:
    """The optima under C = 6 N D, by search: a surface with misfit has no closed form."""
    flops = np.geomspace(1e18, 1e21, n_budgets)
    found = []
    for budget in flops:

        def lowest(x: np.ndarray, c: float = budget) -> tuple[int, float]:
            along = np.log(loss(np.exp(x), c / (6 * np.exp(x))))
            return int(along.argmin()), float(along.min())

        coarse = np.linspace(np.log(1e6), np.log(1e12), 4001)
        j, _ = lowest(coarse)
        fine = np.linspace(coarse[j - 1], coarse[j + 1], 4001)
        j, least = lowest(fine)
        found.append((fine[j], least))
    log_n, log_loss = np.array(found).T
    return Truth(flops, log_n, log_loss)


def sweep(
    loss: Loss, grid: Grid, true: Truth, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Budget, N, D and L of one simulated sweep, (runs,) each."""
    span = np.log(grid.span)
    # Small spans are shifted less, so that most minima stay inside the grid.
    shift = rng.uniform(-0.5, 0.5, grid.n_budgets) * min(1, span / np.log(16))
    x = (true.log_n + shift)[:, None] + np.linspace(-0.5, 0.5, grid.n_sizes) * span
    budget, n_params = np.repeat(true.flops, grid.n_sizes), np.exp(x).ravel()
    n_tokens = budget / (6 * n_params)
    shaken = loss(n_params, n_tokens) * np.exp(noise * rng.normal(size=len(budget)))
    return budget, n_params, n_tokens, shaken


def judge(fit: IsoflopFit, true: Truth) -> dict[str, tuple[float, float]]:
    """For each thing judged: whether its interval holds the truth (1 or 0), and its width.

    Where the true minima follow no exact power law, the true a is their slope under the weights
    that the fit gave them. What the fit does not claim (no law, no bracketed minimum at the last
    budget) is left out.
    """
    found: dict[str, tuple[float, float]] = {}
    if fit.n_law is None:
        return found
    kept = np.array([i for i, one in enumerate(fit.profiles) if one.bracketed])
    weight = np.array([fit.profiles[i].sigma ** -2.0 for i in kept])
    log_c = np.log(true.flops[kept])
    off = weight * (log_c - np.average(log_c, weights=weight))
    found["a"] = _held(fit.n_law.interval(), float(off @ true.log_n[kept] / (off @ log_c)))
    low, high = np.log(fit.n_law.band(true.flops[-1:]))
    found["band"] = _held((low[0], high[0]), true.log_n[-1])
    last = fit.profiles[-1]
    if last.bracketed:
        found["N_opt"] = _held(np.log(last.interval), true.log_n[-1])
        found["loss"] = _held(np.log(last.loss_interval), true.log_loss[-1])
    return found


def _held(interval: tuple[float, float] | np.ndarray, true: float) -> tuple[float, float]:
    low, high = interval
    return float(low <= true <= high), float(high - low)


@dataclass(frozen=True)
class Cell:
    """One surface, grid and noise: coverage and median width by curve and thing judged."""

    kind: str
    surface: str
    grid: Grid
    noise: float
    coverage: dict[tuple[str, str], float]
    width: dict[tuple[str, str], float]


def cells(n_replicates: int, grids: tuple[Grid, ...]) -> Iterator[Cell]:
    """Every cell, simulated; the same sweeps for every curve."""
    for kind, surfaces in (("additive", ADDITIVE), ("misfit", MISFIT)):
        for surface, loss in surfaces.items():
            for grid in grids:
                true = truth(loss, grid.n_budgets)
                for noise in NOISES:
                    name = f"{surface}, {grid.name}, {noise}"
                    seen: dict[tuple[str, str], list[tuple[float, float]]] = {}
                    for r in range(n_replicates):
                        rng = np.random.default_rng([zlib.crc32(name.encode()), r])
                        runs = sweep(loss, grid, true, noise, rng)
                        for curve in CURVES:
                            judged = judge(fit_isoflop(*runs, curve=curve), true)
                            for thing, held in judged.items():
                                seen.setdefault((curve, thing), []).append(held)
                    mean = {key: np.array(value) for key, value in seen.items()}
                    yield Cell(
                        kind,
                        surface,
                        grid,
                        noise,
                        {key: float(value[:, 0].mean()) for key, value in mean.items()},
                        {key: float(np.median(value[:, 1])) for key, value in mean.items()},
                    )


def relative_width(found: list[Cell], curve: str) -> float:
    """Geometric mean of the width of a over the skewed profile's."""
    return float(
        np.exp(np.mean([np.log(c.width[curve, "a"] / c.width["skewed", "a"]) for c in found]))
    )


def table(found: list[Cell]) -> list[str]:
    """Least coverage over the surfaces of a kind, as lines of markdown."""
    head = ["kind", "grid", "noise"]
    head += [f"{thing}, {curve}" for thing in JUDGED for curve in CURVES]
    head += ["width of a, softened / skewed"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    groups: dict[tuple[str, str, float], list[Cell]] = {}
    for cell in found:
        groups.setdefault((cell.kind, cell.grid.name, cell.noise), []).append(cell)
    for (kind, grid, noise), own in groups.items():
        shares = [
            f"{100 * min(c.coverage[curve, thing] for c in own):.0f}"
            for thing in JUDGED
            for curve in CURVES
        ]
        width = f"{relative_width(own, 'softened'):.2f}"
        lines.append("| " + " | ".join([kind, grid, f"{noise}", *shares, width]) + " |")
    return lines


def summary(found: list[Cell]) -> list[str]:
    """Cells in which an interval held the truth in at least 90 %, the worst cell, and widths."""
    lines = []
    for curve in CURVES:
        for thing in JUDGED:
            shares = np.array([cell.coverage[curve, thing] for cell in found])
            worst = found[int(shares.argmin())]
            lines.append(
                f"{curve}, {thing}: at least 90 % in {np.sum(shares >= 0.9)} of {len(shares)} "
                f"cells, least {shares.min():.0%} ({worst.surface}, {worst.grid.name}, noise "
                f"{worst.noise})"
            )
        additive = [cell for cell in found if cell.kind == "additive"]
        six = [cell for cell in additive if cell.grid.n_sizes == 6]
        lines.append(
            f"{curve}, width of a over skewed: additive {relative_width(additive, curve):.2f}, "
            f"of these six sizes {relative_width(six, curve):.2f}"
        )
    return lines


def main(n_replicates: int, quick: bool = False) -> None:
    """Print the table and its summary."""
    found = list(cells(n_replicates, QUICK if quick else GRIDS))
    print(f"{len(found)} cells, {n_replicates} sweeps each; least coverage over surfaces, %")
    print("\n".join([*table(found), "", *summary(found)]))
