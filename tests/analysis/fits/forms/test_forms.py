"""Forms other than the additive one: slopes, and recovery of losses that follow them."""

import numpy as np
import pytest

from analysis.errors import FitError
from analysis.fits.forms import models
from analysis.fits.forms.form import FORMS, OBJECTIVES, fit_form
from analysis.fits.kaplan import fit_joint

FORM = {form.name: form for form in FORMS}
TRUTH = {
    "interaction": (models.interaction, [0.5, -0.3, -0.5, 0.3, 0.4, 0.7]),
    "broken": (models.broken, [0.5, -0.3, -0.5, 0.3, 0.4, 0.4, 0.4]),
    "kaplan": (models.kaplan, [1.0, 2.0, 0.7, -1.5]),
}


def cells() -> tuple[np.ndarray, np.ndarray]:
    n, d = np.meshgrid(np.geomspace(1e6, 1e9, 8), np.geomspace(1e8, 1e11, 7))
    return n.ravel(), d.ravel()


@pytest.mark.parametrize("name", TRUTH)
def test_slopes_are_those_of_differences(name):
    model, values = TRUTH[name]
    u, v = np.random.default_rng(0).normal(size=(2, 9))
    theta = np.array([values])
    slopes = model(theta, u, v)[1]
    for i in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[0, i] = 1e-6
        numeric = (model(theta + step, u, v)[0] - model(theta - step, u, v)[0]) / 2e-6
        assert slopes[:, i] == pytest.approx(numeric, abs=1e-8)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", TRUTH)
def test_each_form_predicts_losses_that_follow_it_far_beyond_the_runs(name, objective):
    n, d = cells()
    model, values = TRUTH[name]
    u, v = np.log(n) - np.log(n).mean(), np.log(d) - np.log(d).mean()
    loss = np.exp(model(np.array([values]), u, v)[0][0])
    law = fit_form(FORM[name], n, d, loss, OBJECTIVES[objective])
    far = np.exp(model(np.array([values]), u[-1:] + 2, v[-1:] + 2)[0][0])
    assert law(n[-1] * np.e**2, d[-1] * np.e**2) == pytest.approx(far[0], rel=2e-3)
    assert np.asarray(law(n, d)) == pytest.approx(loss, rel=1e-3)


def test_the_additive_surface_is_a_special_case_of_both_larger_forms():
    n, d = cells()
    loss = 1.7 + 400 / n**0.34 + 410 / d**0.28
    for name in ("additive", "interaction", "broken"):
        law = fit_form(FORM[name], n, d, loss, OBJECTIVES["squared, log"])
        assert law(1e10, 1e12) == pytest.approx(1.7 + 400 / 1e10**0.34 + 410 / 1e12**0.28, rel=2e-3)


def test_kaplans_law_is_that_of_its_own_approach():
    n, d = cells()
    rng = np.random.default_rng(0)
    loss = ((8.8e13 / n) ** 0.8 + 5.4e13 / d) ** 0.095 * np.exp(0.005 * rng.normal(size=len(n)))
    own = fit_joint(n, d, loss, delta=np.inf)
    law = fit_form(FORM["kaplan"], n, d, loss, OBJECTIVES["squared, log"])
    assert law(1e10, 1e12) == pytest.approx(float(own.loss(1e10, 1e12)), rel=1e-4)


def test_runs_that_determine_no_surface_are_refused():
    n, d = cells()
    with pytest.raises(FitError, match="6 runs can't determine 7 parameters"):
        fit_form(FORM["broken"], n[:6], d[:6], np.ones(6), OBJECTIVES["Huber, log"])
    with pytest.raises(FitError):
        fit_form(FORM["kaplan"], n, 20 * n, 2 + n**-0.1, OBJECTIVES["Huber, log"])
