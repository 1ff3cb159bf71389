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
    """Their own claim for their 100M model: R2 > .99, mean absolute error about .004 nats."""
    curves = {}
    for file in sorted(published_file("multipowerlaw_csv_100").glob("*.csv")):
        frame = pd.read_csv(file)
        columns = (frame[name].to_numpy(dtype=float) for name in ("step", "lr", "loss"))
        curves[file.stem] = LossCurve(file.stem, 1e8, *columns)
    own = ("constant_24000", "cosine_24000", "wsdcon_9")
    law = fit_curve_law([curves.pop(name) for name in own])
    errors = []
    for one in curves.values():
        left = one.loss - law.loss(1e8, past_of(one.n_tokens, one.lr))
        assert 1 - np.sum(left**2) / np.sum((one.loss - one.loss.mean()) ** 2) > 0.99, one.name
        errors.append(float(np.mean(np.abs(left))))
    assert len(errors) == 6 and math.fsum(errors) / 6 <= 0.006
