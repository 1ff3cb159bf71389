import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.errors import FitError
from analysis.fits.curve_law.fit import fit_curve_law
from analysis.fits.curve_law.law import CurveLaw, Shape
from analysis.fits.curve_law.path import LossCurve, past_of
from tests.support.published import published_file
from train.config.lr_schedule import learning_rate

SHAPE = Shape(alpha=0.45, C=300.0, beta=0.5, gamma=0.6)
LAW = CurveLaw({1e6: 2.0, 4e6: 1.8}, 0.5, 0.2, SHAPE, 1e6, 0.0, 0)


def curve(size: float, n_steps: int, schedule: str, law=LAW, noise=0.0, seed=0) -> LossCurve:
    """A run of 100 tokens a step under one of the project's schedules, off the law."""
    steps = np.unique(np.geomspace(10, n_steps, 300).astype(int))
    rates = [
        learning_rate(int(s) - 1, schedule=schedule, n_steps=n_steps, warmup_steps=n_steps // 50,
                      lr_peak=3e-3, final_fraction=0.1)
        for s in steps
    ]  # fmt: skip
    n_tokens, lr = steps * 100.0, np.array(rates)
    loss = law.loss(size, past_of(n_tokens, lr))
    rng = np.random.default_rng(seed)
    return LossCurve(f"{schedule}_{n_steps}_{size:g}", size, n_tokens, lr,
                     loss * np.exp(rng.normal(0, noise, len(loss))))  # fmt: skip


def test_the_age_counts_tokens_at_the_peak_rate():
    past = past_of(np.array([100.0, 200.0, 300.0]), np.array([2.0, 2.0, 1.8]))
    assert past.age == pytest.approx([50, 150, 245]), "a warm-up from 0, then half of a fall"
    assert past.fall == pytest.approx([0.1]) and past.rate == pytest.approx([0.9])
    assert past.since[:, 0] == pytest.approx([0, 0, 47.5])
    sudden = past_of(np.array([100.0, 200.0, 300.0]), np.array([2.0, 0.5, 0.5]))
    assert sudden.age == pytest.approx([50, 150, 175]) and sudden.since[-1, 0] == pytest.approx(25)


def test_many_falls_are_gathered_without_a_change_of_the_loss(monkeypatch):
    one = curve(1e6, 20_000, "cosine")
    later = one.n_tokens[one.n_tokens > 1e5]
    coarse = LAW.loss(1e6, past_of(one.n_tokens, one.lr, later))
    monkeypatch.setattr("analysis.fits.curve_law.path.NODES", 10_000)
    assert LAW.loss(1e6, past_of(one.n_tokens, one.lr, later)) == pytest.approx(coarse, rel=1e-3)


def test_the_law_is_recovered_and_predicts_other_lengths_and_schedules():
    runs = ((1e6, 20_000, "cosine"), (4e6, 8_000, "cosine"), (1e6, 8_000, "wsd"),
            (4e6, 20_000, "constant"))  # fmt: skip
    fitted = [curve(*run, noise=0.002, seed=i) for i, run in enumerate(runs)]
    law = fit_curve_law(fitted)
    assert law.status == "converged" and law.rms < 0.003
    for other in (curve(4e6, 20_000, "linear"), curve(1e6, 40_000, "wsd")):
        predicted = law.loss(other.size, past_of(other.n_tokens, other.lr))
        assert predicted[-1] == pytest.approx(other.loss[-1], abs=0.01)
    with pytest.raises(FitError, match="no curve of 9e\\+06 parameters was fitted"):
        law.loss(9e6, past_of(fitted[0].n_tokens, fitted[0].lr))


def test_what_no_schedule_determines_is_said():
    flat = fit_curve_law([curve(1e6, 20_000, "constant")])
    assert flat.status == "degenerate" and "no run's learning rate falls" in flat.reason
    up = curve(1e6, 20_000, "cosine")
    rising = fit_curve_law([replace(up, loss=up.loss[::-1].copy())])
    assert rising.status != "converged" and rising.reason
    with pytest.raises(FitError, match="five points"):
        fit_curve_law([replace(up, loss=np.full(len(up.loss), np.nan))])


def test_luo_et_al_s_curves_are_predicted_from_three():
    """Their own figures for their 100M model: R2 .9983, mean absolute error .00435 nats."""
    curves = luo_et_al_s()
    own = ("constant_24000", "cosine_24000", "wsdcon_9")
    law = fit_curve_law([curves.pop(name) for name in own])
    found = {one.name: misfit(law, one) for one in curves.values()}
    assert len(found) == 6 and min(r2 for _, r2 in found.values()) > 0.99
    errors = {name: error for name, (error, _) in found.items()}
    assert math.fsum(errors.values()) / 6 == pytest.approx(0.0043, abs=2e-4)
    # One misses the mean's .006: a cosine of three times the fitted length (docs/log.md).
    assert errors.pop("cosine_72000") == pytest.approx(0.0123, abs=5e-4)
    assert max(errors.values()) < 0.006


def test_the_longest_cosine_leaves_the_law_that_eight_curves_give():
    """So it is the law's form, not the choice of three curves: with it among them it is met."""
    curves = luo_et_al_s()
    longest = curves.pop("cosine_72000")
    error, _ = misfit(fit_curve_law(list(curves.values())), longest)
    assert error == pytest.approx(0.0108, abs=5e-4)
    error, _ = misfit(fit_curve_law([*curves.values(), longest]), longest)
    assert error == pytest.approx(0.0046, abs=5e-4)


def luo_et_al_s() -> dict[str, LossCurve]:
    curves = {}
    for file in sorted(published_file("multipowerlaw_csv_100").glob("*.csv")):
        frame = pd.read_csv(file)
        columns = (frame[name].to_numpy(dtype=float) for name in ("step", "lr", "loss"))
        curves[file.stem] = LossCurve(file.stem, 1e8, *columns)
    return curves


def misfit(law: CurveLaw, one: LossCurve) -> tuple[float, float]:
    """Mean absolute error and R2 over all points, which begin behind the warm-up."""
    left = one.loss - law.loss(one.size, past_of(one.n_tokens, one.lr))
    spread = np.sum((one.loss - one.loss.mean()) ** 2)
    return float(np.mean(np.abs(left))), float(1 - np.sum(left**2) / spread)
