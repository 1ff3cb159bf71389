import numpy as np
import pytest

from analysis.data.run_arrays import Curves
from analysis.errors import FitError
from analysis.fits.envelope import fit_envelope
from analysis.fits.isoflop import fit_isoflop
from analysis.fits.min_loss import (
    envelope_loss_law,
    isoflop_loss_draws,
    isoflop_loss_law,
    loss_law_intervals,
)
from analysis.fits.surface import Surface

SURFACE = Surface(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.32)


def grid(n_budgets: int, noise: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    budgets = np.geomspace(1e17, 1e21, n_budgets)
    best = np.asarray(SURFACE.optimal(budgets).n_params)
    n_params = (best[:, None] * np.geomspace(0.2, 5, 9)).ravel()
    budget = np.repeat(budgets, 9)
    n_tokens = budget / (6 * n_params)
    shaken = np.exp(np.random.default_rng(seed).normal(0, noise, len(budget)))
    return budget, n_params, n_tokens, np.asarray(SURFACE.loss(n_params, n_tokens)) * shaken


def test_minima_of_five_budgets_find_E_of_the_surface():
    law = isoflop_loss_law(fit_isoflop(*grid(5, 1e-9)))
    # The profile is a cubic, the surface is not: what is left is its bias.
    assert pytest.approx(1.7, rel=1e-3) == law.E
    assert law(1e22) == pytest.approx(SURFACE.optimal(1e22).loss, rel=1e-3)


def test_the_interval_of_E_grows_with_the_noise():
    widths = []
    for noise in (1e-3, 4e-3):
        fit = fit_isoflop(*grid(5, noise))
        draws = isoflop_loss_draws(isoflop_loss_law(fit), fit, 1000, np.random.default_rng(0))
        low, high = loss_law_intervals(draws)["E"]
        assert low < 1.7 < high
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]


def test_three_minima_get_a_power_law_and_two_a_reason():
    law = isoflop_loss_law(fit_isoflop(*grid(3, 1e-3)))
    assert (law.E, law.extrapolates) == (0.0, False)
    with pytest.raises(FitError, match="2 bracketed minima do not determine"):
        isoflop_loss_law(fit_isoflop(*grid(2, 1e-3)))


def test_unknown_noise_gives_a_law_without_draws():
    fit = fit_isoflop(*grid(5, 1e-3), curve="akima")
    law = isoflop_loss_law(fit)
    assert law.status == "converged"
    with pytest.raises(FitError, match="do not tell their own noise"):
        isoflop_loss_draws(law, fit, 1000, np.random.default_rng(0))


def curves_of(n_runs: int) -> Curves:
    n_params = np.repeat(np.geomspace(1e6, 1e9, n_runs), 200)
    n_tokens = np.tile(np.geomspace(1e7, 1e12, 200), n_runs)
    run = np.repeat(np.arange(n_runs), 200)
    loss = np.asarray(SURFACE.loss(n_params, n_tokens))
    return Curves(run, n_params, n_tokens, 6 * n_params * n_tokens, loss)


def test_an_envelope_of_many_sizes_finds_E_and_one_of_three_says_why_not():
    curves = curves_of(40)
    law = envelope_loss_law(fit_envelope(curves), curves.n_params)
    assert pytest.approx(1.7, rel=1e-3) == law.E
    few = curves_of(5)
    with pytest.raises(FitError, match=r"3 run\(s\) between the smallest and the largest"):
        envelope_loss_law(fit_envelope(few), few.n_params)
