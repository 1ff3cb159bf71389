"""IsoFLOP profiles as polynomials in log N: parabolas, alike skewed or not, and cubics.

A parabola is symmetric about its minimum; the profile of L = E + A/N^alpha + B/D^beta is not. About
its minimum the ratio of its third to its second derivative is gamma beta - alpha, at every budget,
where runs cost C = k N^gamma D. So "skewed" gives each budget its own parabola and all of them one
skewness: c0 + c1 x + c2 x^2 + s c2' x^3, c2' the curvature of the plain parabola. It takes out most
of the parabola's bias for one parameter, where a cubic per budget pays one each.

Seeds move a loss by some share of it, so each budget's losses are fitted relative to their mean.
"""

from dataclasses import replace

import numpy as np

from analysis.fits.isoflop_shapes import Profiles, Shape, Shapes, relative_to_mean


def fit_polynomials(profiles: Profiles, curve: str, noise: float | None = None) -> Shapes:
    """Fit all profiles of a grid.

    Args:    curve: skewed, parabola or cubic; "skewed" becomes "parabola" where runs are too few
             for it. noise: relative standard deviation of the loss between seeds. When None it is
             estimated from the scatter about all profiles.
    """
    levels, relative = relative_to_mean(profiles)
    fitted = _together(relative, curve, noise)
    rescaled = [
        replace(shape, coefficients=shape.coefficients * level, height=shape.height * level)
        for shape, level in zip(fitted.shapes, levels, strict=True)
    ]
    return replace(fitted, shapes=tuple(rescaled))


def _together(profiles: Profiles, curve: str, noise: float | None) -> Shapes:
    """All profiles in one least-squares fit, so that what they share is shared in their errors."""
    n_runs, note = sum(len(loss) for _, loss in profiles), ""
    if curve == "skewed" and n_runs <= 3 * len(profiles) + 1:
        curve = "parabola"
        note = (
            f"{n_runs} runs do not determine {3 * len(profiles) + 1} parameters of skewed "
            f"parabolas and their noise: plain parabolas were fitted"
        )
    maps = _coefficient_maps(profiles, curve)
    design = np.concatenate([np.vander(x, 4) @ m for (x, _), m in zip(profiles, maps, strict=True)])
    losses = np.concatenate([loss for _, loss in profiles])
    theta, _, rank, _ = np.linalg.lstsq(design, losses, rcond=None)
    freedom = float("inf") if noise is not None else float(n_runs - rank)
    if noise is None:
        scatter = float(np.sum((losses - design @ theta) ** 2))
        noise = float(np.sqrt(scatter / freedom)) if freedom > 0 else float("nan")
    found, jacobian = [], np.zeros((len(profiles), design.shape[1]))
    lift = np.zeros_like(jacobian)
    for i, ((x, _), m) in enumerate(zip(profiles, maps, strict=True)):
        coefficients = m @ theta
        position = _inside(float(_vertex(coefficients)), x)
        if np.isfinite(position):
            # The vertex moves by the change of the slope there over the curvature.
            slope = np.array([3 * position**2, 2 * position, 1.0, 0.0])
            curvature = float(np.polyval(np.polyder(coefficients, 2), position))
            jacobian[i] = slope @ m / curvature
            # The height moves by the change of the profile there: its slope is nil.
            powers = position ** np.arange(3, -1, -1)
            lift[i] = powers @ m / float(np.polyval(coefficients, position))
        found.append((coefficients, position))
    spread = noise**2 * np.linalg.pinv(design.T @ design)
    covariance = jacobian @ spread @ jacobian.T
    sigma = np.sqrt(np.diag(covariance))
    shapes = tuple(
        Shape(c, p, float(np.polyval(c, p)), float(s) if np.isfinite(p) else float("nan"))
        for (c, p), s in zip(found, sigma, strict=True)
    )
    return Shapes(shapes, covariance, lift @ spread @ lift.T, noise, freedom, curve, note)


def minima(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, degree: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimum of a weighted polynomial, for many weightings of one profile.

    Args:    x, y: (runs,); weights: (batch, runs).
    Returns: position and height of the minimum, each (batch,), NaN where there is none inside the
             range of x; and the coefficients (batch, degree + 1), highest power first.
    """
    design = np.vander(x, degree + 1)
    gram = np.einsum("bi,ij,ik->bjk", weights, design, design)
    rhs = np.einsum("bi,ij,i->bj", weights, design, y)
    solvable = np.linalg.cond(gram) < 1e12
    gram[~solvable] = np.eye(degree + 1)
    coefficients = np.linalg.solve(gram, rhs[..., None])[..., 0]
    coefficients[~solvable] = np.nan
    position = _vertex(coefficients)
    inside = (position >= x.min()) & (position <= x.max())
    position = np.where(inside, position, np.nan)
    powers = position[:, None] ** np.arange(degree, -1, -1)
    return position, (coefficients * powers).sum(axis=1), coefficients


def _vertex(coefficients: np.ndarray) -> np.ndarray:
    """Where a parabola's or cubic's derivative rises through zero; NaN where it never does."""
    *cubic, square, linear, _ = np.moveaxis(coefficients, -1, 0)
    third = cubic[0] if cubic else np.zeros_like(square)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(square**2 - 3 * third * linear)
        # -l / (s + root) is the rising root of 3 t x^2 + 2 s x + l, stable as t goes to 0.
        position = -linear / (square + root)
        return np.where(root > 0, position, np.nan)


def _inside(position: float, x: np.ndarray) -> float:
    return position if x.min() <= position <= x.max() else float("nan")


def _coefficient_maps(profiles: Profiles, curve: str) -> list[np.ndarray]:
    """For each profile the matrix (4, p) that takes all parameters to its c3, c2, c1, c0."""
    own = 4 if curve == "cubic" else 3
    shared = 1 if curve == "skewed" else 0
    maps = []
    for i, (x, loss) in enumerate(profiles):
        m = np.zeros((4, own * len(profiles) + shared))
        m[4 - own :, own * i : own * (i + 1)] = np.eye(own)
        if shared:
            m[0, -1] = abs(float(np.polyfit(x, loss, 2)[0]))
        maps.append(m)
    return maps
