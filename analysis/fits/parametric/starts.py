"""Starting points for the parametric fit by variable projection.

With the exponents fixed, L = E + A N^-alpha + B D^-beta is linear in (E, A, B). A grid over the two
exponents therefore covers what the literature covers with thousands of starts in five dimensions.
"""

import itertools

import numpy as np

from analysis.fits.parametric.huber import LogRuns, Penalty, penalised

EXPONENTS = np.geomspace(0.04, 1.8, 16)
"""Grid of alpha and of beta; published surfaces lie between 0.1 and 1.2."""

_SMALL_CELLS = 16_000
"""Numbers of an array of 128 kB."""

_LEAST_SHARE = 1e-3
"""Smallest start of a coefficient, as a share of the least loss; its logarithm must be finite."""


def grid_starts(runs: LogRuns, weights: np.ndarray, penalty: Penalty, most: int = 8) -> np.ndarray:
    """Starts (k, 5), best first: the local minima of the objective over the grid of exponents.

    The coefficients of each cell minimise the weighted relative squared error; cells are compared
    under a Huber loss 30 times as wide as the one to be minimised, which outliers sway little.

    Args:    weights: one weight a run, (runs,).
    """
    size, data = (np.exp(-EXPONENTS[:, None] * x) for x in (runs.u, runs.v))
    coefficients = _nonnegative(*_summed(runs, size, data, weights))
    theta = _thetas(coefficients, runs, *_cells(EXPONENTS))
    values = _cell_values(theta, size, data, runs, weights, penalty.widened(30))
    minima = _local_minima(values.reshape(len(EXPONENTS), len(EXPONENTS)))
    order = np.argsort(np.where(minima, values, np.inf))[: min(most, int(minima.sum()))]
    return theta[order]


def _cell_values(
    theta: np.ndarray, size: np.ndarray, data: np.ndarray, runs: LogRuns, weights: np.ndarray,
    penalty: Penalty,
) -> np.ndarray:  # fmt: skip
    """The objective of every cell of the grid, (cells,), from the exponentials that cells share."""
    E, A, B = np.exp(theta[:, :3]).T.reshape(3, len(size), len(data), 1)
    values = []
    # Some rows at a time: arrays beyond 128 kB are fetched from the system for every operation.
    rows = max(1, _SMALL_CELLS // (len(data) * len(runs)))
    for first in range(0, len(size), rows):
        some = slice(first, first + rows)
        total = A[some] * size[some, None]
        total += E[some]
        total += B[some] * data
        r = total.reshape(-1, len(runs))
        r = r - runs.loss if penalty.residual == "loss" else np.log(r) - runs.y
        values.append(penalised(r, weights[None], penalty))
    return np.concatenate(values)


class ResampleGrid:
    """Starts for the same runs under many weightings, from a coarser grid of exponents.

    The products that the normal equations sum are computed once; a weighting is then one row of a
    matrix product.
    """

    def __init__(self, runs: LogRuns) -> None:
        self._runs = runs
        self._exponents = EXPONENTS[1::2]
        gram, rhs = _normal_equations(runs, self._exponents)
        upper = gram[:, [0, 1, 2, 4, 5, 8]]
        self._products = np.concatenate([upper, rhs], axis=1).reshape(-1, len(runs)).T.copy()

    def starts(self, weights: np.ndarray, default: np.ndarray) -> np.ndarray:
        """One start (batch, 5) for each row of weights (batch, runs): its own best cell of the
        grid.

        Cells where least squares wants a negative coefficient are passed over; a row without any
        other starts from `default` (5,).
        """
        cells = len(self._exponents) ** 2
        sums = np.moveaxis((weights @ self._products).reshape(-1, cells, 9), -1, 0)
        solution = _solve_symmetric(sums[:6], sums[6:])
        explained = np.where((solution > 0).all(axis=0), (solution * sums[6:]).sum(axis=0), -np.inf)
        best = explained.argmax(axis=1)
        rows = np.arange(len(weights))
        coefficients = np.moveaxis(solution[:, rows, best], 0, -1)
        alpha, beta = (exponent[best] for exponent in _cells(self._exponents))
        found = _thetas(coefficients, self._runs, alpha, beta)
        return np.where(np.isfinite(explained[rows, best])[:, None], found, default)


def _cells(exponents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    alpha, beta = np.meshgrid(exponents, exponents, indexing="ij")
    return alpha.ravel(), beta.ravel()


def _summed(
    runs: LogRuns, size: np.ndarray, data: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The normal equations of `_normal_equations` summed over runs, (cells, 3, 3) and (cells, 3).

    No term of theirs knows more of a cell than one exponent, save for the product of both, so they
    are matrix products over the exponents and not over the cells.
    """
    one, n = 1 / runs.loss, len(size)
    size, data = size * one, data * one
    gram, rhs = np.empty((n, n, 3, 3)), np.empty((n, n, 3))
    gram[..., 0, 0] = weights @ one**2
    gram[..., 0, 1] = gram[..., 1, 0] = (size @ (weights * one))[:, None]
    gram[..., 0, 2] = gram[..., 2, 0] = data @ (weights * one)
    gram[..., 1, 1] = (size**2 @ weights)[:, None]
    gram[..., 2, 2] = data**2 @ weights
    gram[..., 1, 2] = gram[..., 2, 1] = (size * weights) @ data.T
    rhs[..., 0] = weights @ one
    rhs[..., 1], rhs[..., 2] = (size @ weights)[:, None], data @ weights
    return gram.reshape(-1, 3, 3), rhs.reshape(-1, 3)


def _normal_equations(runs: LogRuns, exponents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per cell and run, the products x_i x_j (cells, 9, runs) and x_i y (cells, 3, runs).

    x = (1, N^-alpha, D^-beta) / L about the centre, and y = 1: relative errors of the loss.
    """
    alpha, beta = _cells(exponents)
    design = np.stack([
        np.broadcast_to(1 / runs.loss, (len(alpha), len(runs))),
        np.exp(-alpha[:, None] * runs.u) / runs.loss,
        np.exp(-beta[:, None] * runs.v) / runs.loss,
    ], axis=1)  # fmt: skip
    products = design[:, :, None, :] * design[:, None, :, :]
    return products.reshape(len(alpha), 9, len(runs)), design


def _nonnegative(gram: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """Nonnegative least squares for many 3 x 3 systems: the solution where all of it is positive,
    else the best of the seven supports.
    """
    upper = np.moveaxis(gram, 0, -1).reshape(9, -1)[[0, 1, 2, 4, 5, 8]]
    best = _solve_symmetric(upper, rhs.T).T
    mixed = np.flatnonzero(~(best > 0).all(axis=1))
    if len(mixed):
        best[mixed] = _by_supports(gram[mixed], rhs[mixed])
    return best


def _by_supports(gram: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    best = np.zeros_like(rhs)
    explained = np.full(len(rhs), -np.inf)
    for support in itertools.product((False, True), repeat=3):
        inside = np.array(support)
        if not inside.any():
            continue
        mask = inside[:, None] & inside[None, :]
        ridge = 1e-12 * np.einsum("cii->c", gram)[:, None, None] * np.eye(3)
        system = np.where(mask, gram + ridge, np.eye(3))
        solution = np.linalg.solve(system, np.where(inside, rhs, 0.0)[..., None])[..., 0]
        gain = np.where((solution >= 0).all(axis=1), (solution * rhs).sum(axis=1), -np.inf)
        better = gain > explained
        best[better], explained[better] = solution[better], gain[better]
    return best


def _solve_symmetric(g: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Solutions (3, ...) of symmetric 3 x 3 systems, by cofactors.

    Args:    g: the upper triangles, row by row, (6, ...); h: right-hand sides, (3, ...).
    """
    a, b, c, d, e, f = g
    x, y, z = h
    aa, bb, cc = d * f - e * e, c * e - b * f, b * e - c * d
    determinant = a * aa + b * bb + c * cc
    dd, ee, ff = a * f - c * c, b * c - a * e, a * d - b * b
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([
            aa * x + bb * y + cc * z,
            bb * x + dd * y + ee * z,
            cc * x + ee * y + ff * z,
        ]) / determinant  # fmt: skip


def _thetas(
    coefficients: np.ndarray, runs: LogRuns, alpha: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    least = _LEAST_SHARE * runs.loss.min()
    with np.errstate(invalid="ignore"):
        logs = np.log(np.maximum(coefficients, least))
    return np.column_stack([logs, alpha, beta])


def _local_minima(values: np.ndarray) -> np.ndarray:
    """Which cells (flattened) are no worse than their eight neighbours."""
    padded = np.pad(values, 1, constant_values=np.inf)
    rows, columns = values.shape
    shifts = [
        padded[1 + i : 1 + i + rows, 1 + j : 1 + j + columns]
        for i, j in itertools.product((-1, 0, 1), repeat=2)
        if (i, j) != (0, 0)
    ]
    return (values <= np.min(shifts, axis=0)).ravel()
