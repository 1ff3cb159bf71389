import numpy as np
import pytest

from analysis.data.cost_law import SIX_ND
from analysis.errors import FitError
from analysis.fits.kaplan import (
    PF_DAY,
    KaplanJoint,
    fit_frontier,
    fit_joint,
    frontier,
    published_n_opt,
    refit_joint,
)

PUBLISHED = KaplanJoint(6.4e13, 1.8e13, 0.076, 0.103, SIX_ND, 0.0, "converged")


def runs(noise=0.0, n_runs=60):
    rng = np.random.default_rng(0)
    n_params, n_tokens = 10 ** rng.uniform(5, 9, n_runs), 10 ** rng.uniform(7, 11, n_runs)
    loss = PUBLISHED.loss(n_params, n_tokens) * np.exp(rng.normal(0, noise, n_runs))
    return n_params, n_tokens, loss


def test_the_joint_law_is_recovered():
    fit = fit_joint(*runs())
    assert fit.status == "converged"
    assert (fit.alpha_N, fit.alpha_D) == pytest.approx((0.076, 0.103), rel=1e-4)
    assert (fit.N_c, fit.D_c) == pytest.approx((6.4e13, 1.8e13), rel=1e-2)


def test_its_optimum_is_the_minimum_along_the_budget():
    best = PUBLISHED.optimal(1e20)
    sizes = best.n_params * np.geomspace(0.5, 2, 201)
    assert PUBLISHED.loss(sizes, 1e20 / (6 * sizes)).argmin() == 100
    slope = np.log(PUBLISHED.optimal(1e22).n_params / best.n_params) / np.log(100)
    assert slope == pytest.approx(PUBLISHED.a)


@pytest.mark.parametrize("coefficient", [1e200, 1e304])
def test_an_undetermined_coefficient_overflows_nothing(coefficient):
    law = KaplanJoint(coefficient, 1e13, 0.5, 0.1, SIX_ND, 0.0, "bound_hit")
    best = law.optimal(1e20)
    assert best.n_params > 1e100
    assert law.loss(1e8, 1e10) > 1e6


def test_runs_of_nearly_one_size_are_refused_by_what_does_not_vary():
    """../shared/cases/kaplan_overflow.csv: 2.1506e9 to 2.1562e9 parameters."""
    n_params = np.repeat([2.1506e9, 2.1552e9, 2.1562e9], 4)
    n_tokens = np.tile([2e9, 4e9, 8e9, 2e10], 3)
    with pytest.raises(FitError, match=r"model size does not vary: 2.151e\+09 to 2.156e\+09"):
        fit_joint(n_params, n_tokens, PUBLISHED.loss(n_params, n_tokens))


def test_refits_follow_the_resamples():
    n_params, n_tokens, loss = runs(noise=0.01)
    fit = fit_joint(n_params, n_tokens, loss)
    counts = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), 3)
    draws = refit_joint(fit, n_params, n_tokens, loss, counts)
    rows = np.repeat(np.arange(60), counts[2])
    alone = fit_joint(n_params[rows], n_tokens[rows], loss[rows])
    assert draws.alpha_N[2] == pytest.approx(alone.alpha_N, rel=1e-3)
    assert np.std(draws.alpha_N) > 0


def test_frontier_holds_the_runs_that_no_smaller_one_beats():
    x = np.array([1.0, 2.0, 2.0, 3.0, 4.0])
    loss = np.array([3.0, 2.5, 2.4, 2.6, 2.0])
    assert frontier(x, loss).tolist() == [0, 2, 4]


def test_frontier_law():
    x = np.geomspace(1e5, 1e9, 9)
    law = fit_frontier(x, (1e13 / x) ** 0.08)
    assert -law.exponent == pytest.approx(0.08)
    with pytest.raises(FitError, match="at least 3"):
        fit_frontier(x[:2], np.array([2.0, 1.0]))


def test_published_line_at_one_petaflop_day():
    assert published_n_opt(PF_DAY) == pytest.approx(1.3e9)
