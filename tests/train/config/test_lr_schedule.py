import pytest

from train.config.lr_schedule import learning_rate

ARGS = {"n_steps": 1000, "warmup_steps": 100, "lr_peak": 2.0, "final_fraction": 0.1}


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd"])
def test_ends_exactly_at_the_final_fraction(schedule):
    assert learning_rate(1000, schedule=schedule, **ARGS) == pytest.approx(0.2, abs=1e-12)
    assert learning_rate(999, schedule=schedule, **ARGS) > 0.2


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "wsd"])
def test_warms_up_linearly_to_the_peak(schedule):
    rates = [learning_rate(step, schedule=schedule, **ARGS) for step in range(101)]
    assert rates[0] == pytest.approx(2.0 / 101)
    assert rates[100] == pytest.approx(2.0)
    assert rates == sorted(rates)


def test_cosine_is_half_way_in_the_middle():
    assert learning_rate(550, schedule="cosine", **ARGS) == pytest.approx(1.1)


def test_wsd_is_flat_then_linear():
    flat = [learning_rate(step, schedule="wsd", decay_fraction=0.2, **ARGS) for step in (100, 799)]
    assert flat == [2.0, 2.0]
    assert learning_rate(900, schedule="wsd", decay_fraction=0.2, **ARGS) == pytest.approx(1.1)


def test_without_warmup_the_first_step_has_the_peak():
    args = {**ARGS, "warmup_steps": 0}
    assert learning_rate(0, schedule="cosine", **args) == 2.0
