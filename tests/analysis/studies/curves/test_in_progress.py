"""Predicted ends of runs in progress."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.errors import FitError
from analysis.studies.curves.in_progress import EndPredictor, FinishedRun
from benchmarks.coverage_ends import SIZES, runs, schedule


@pytest.fixture(scope="module")
def sweep():
    return runs("own", np.random.default_rng(0))


@pytest.fixture(scope="module")
def predictor(sweep):
    return EndPredictor.of(sweep[::2])


def cut(run, share):
    n = int(share * len(run.curve.n_tokens))
    columns = (values[:n] for values in (run.curve.n_tokens, run.curve.lr, run.curve.loss))
    return replace(run.curve, **dict(zip(("n_tokens", "lr", "loss"), columns, strict=True)))


def test_ends_lie_in_their_intervals_which_narrow_as_runs_go_on(sweep, predictor):
    held = []
    for run in sweep[1::2]:
        whole = run.curve.n_tokens, run.curve.lr
        early, late = (predictor.predict(cut(run, share), *whole) for share in (0.3, 0.8))
        if early.known:
            held += [end.low <= run.loss <= end.high for end in (early, late)]
            assert late.high - late.low < early.high - early.low < 0.1 * run.loss
    assert len(held) >= 14 and sum(held) >= 0.75 * len(held)


def test_the_validation_loss_is_predicted_not_the_training_loss(sweep):
    lifted = [FinishedRun(run.curve, 1.1 * run.loss) for run in sweep]
    pairs = []
    for made in (sweep, lifted):
        found = EndPredictor.of(made[::2])
        pairs.append(found.predict(cut(sweep[1], 0.5), sweep[1].curve.n_tokens, sweep[1].curve.lr))
    assert pairs[1].loss == pytest.approx(1.1 * pairs[0].loss)


def test_what_nothing_is_known_of_has_a_reason_instead_of_a_number(sweep, predictor):
    run = sweep[1]
    whole = run.curve.n_tokens, run.curve.lr
    early = predictor.predict(cut(run, 0.1), *whole)
    assert not early.known and early.reason == "too early: 10% done"
    larger = predictor.predict(replace(cut(run, 0.5), size=5 * SIZES[-1]), *whole)
    assert not larger.known and "parameters lie a factor of 5 outside" in larger.reason
    tokens, lr = schedule(30 * max(one.curve.n_tokens[-1] for one in sweep))
    half = replace(run.curve, n_tokens=tokens[:150], lr=lr[:150], loss=run.curve.loss[:150])
    assert "tokens lie a factor of 30 outside" in predictor.predict(half, tokens, lr).reason
    with pytest.raises(FitError, match="4 finished runs have training curves"):
        EndPredictor.of(sweep[:4])
    flat = [replace(one, curve=replace(one.curve, lr=np.full(300, 1e-2))) for one in sweep]
    with pytest.raises(FitError, match="no run's learning rate falls"):
        EndPredictor.of(flat)
