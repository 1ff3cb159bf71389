import numpy as np
import pytest

from analysis.data.cost_law import Cost
from analysis.errors import FitError
from analysis.fits.min_loss_law import fit_loss_law, redrawn, refit_loss_law
from analysis.fits.surface import Surface

C = np.geomspace(1e17, 1e21, 6)
SURFACE = Surface(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.29, cost=Cost(k=20.0, gamma=0.9))


def test_the_optimal_losses_of_a_surface_follow_the_law_with_its_own_E():
    law = fit_loss_law(C, np.asarray(SURFACE.optimal(C).loss))
    assert law.status == "converged"
    assert pytest.approx(1.7, rel=1e-6) == law.E
    assert law.g == pytest.approx(SURFACE.alpha * SURFACE.a, rel=1e-6)
    assert law(1e24) == pytest.approx(SURFACE.optimal(1e24).loss, rel=1e-6)
    assert law.E + law.k * 1e24**-law.g == pytest.approx(law(1e24))


def test_three_points_give_a_pure_power_law():
    flops = np.array([1e18, 1e19, 1e20])
    law = fit_loss_law(flops, 40 * flops**-0.05)
    assert (law.E, law.n_points) == (0.0, 3)
    assert law.g == pytest.approx(0.05, rel=1e-6)
    assert law(1e21) == pytest.approx(40 * 1e21**-0.05, rel=1e-6)
    assert "do not determine E" in law.reason


def test_no_irreducible_loss_in_the_data_is_a_status():
    law = fit_loss_law(C, 40 * C**-0.05)
    assert law.status == "bound_hit"
    assert "ran to 0" in law.reason
    assert law(1e22) == pytest.approx(40 * 1e22**-0.05, rel=1e-5)


@pytest.mark.parametrize("flops", [C[:3], C])
def test_losses_that_rise_with_compute_are_degenerate(flops):
    assert fit_loss_law(flops, np.linspace(2, 3, len(flops))).status == "degenerate"


@pytest.mark.parametrize(
    "flops, loss, words",
    [
        (C[:2], np.array([3.0, 2.0]), "2 minima do not determine"),
        (np.repeat(C[:2], 3), np.linspace(3, 2, 6), "2 minima do not determine"),
        (C[:4], np.array([3.0, 2.9, np.nan, 2.7]), "positive finite"),
        (C[:4], np.array([3.0, 2.9, -1.0, 2.7]), "positive finite"),
    ],
)
def test_points_that_determine_no_law_are_refused(flops, loss, words):
    with pytest.raises(FitError, match=words):
        fit_loss_law(flops, loss)


def test_points_of_small_error_weigh_more():
    loss = np.asarray(SURFACE.optimal(C).loss).copy()
    loss[0] *= 1.05
    errors = np.full(len(C), 1e-3)
    even = fit_loss_law(C, loss, errors)
    errors[0] = 1.0
    assert abs(fit_loss_law(C, loss, errors).E - 1.7) < abs(even.E - 1.7) / 100


def test_draws_of_the_points_scatter_as_their_errors_say():
    loss = np.asarray(SURFACE.optimal(C).loss)
    law = fit_loss_law(C, loss)
    covariance = 1e-6 * (np.eye(6) + 0.5)
    drawn = redrawn(loss, covariance, np.inf, 4000, np.random.default_rng(0))
    assert np.cov(np.log(drawn).T) == pytest.approx(covariance, abs=1e-7)
    wide = redrawn(loss, covariance, 3, 4000, np.random.default_rng(0))
    assert np.std(np.log(wide[:, 0])) > 1.3 * np.std(np.log(drawn[:, 0]))
    drawn[7] = np.nan
    laws = refit_loss_law(law, C, drawn)
    assert laws(1e22).shape == (4000, 1)
    assert np.flatnonzero(np.isnan(laws(1e22)[:, 0])).tolist() == [7]
    low, high = np.nanquantile(laws.E, [0.025, 0.975])
    assert low < 1.7 < high


def test_a_draw_is_fitted_like_any_points():
    loss = np.asarray(SURFACE.optimal(C).loss) * np.array([1.001, 0.999, 1, 1.002, 1, 0.999])
    errors = np.geomspace(1e-3, 3e-3, 6)
    alone = fit_loss_law(C, loss, errors)
    drawn = refit_loss_law(alone, C, np.stack([loss, loss[::-1]]), errors)
    assert drawn.E[0, 0] == pytest.approx(alone.E, rel=1e-6)
    assert np.isnan(drawn.E[1, 0])  # losses that rise have no law
