"""The search of a learning rate, without any training."""

import math

import numpy as np
import pytest

from sweeps.design.golden import located, proposals, rounded
from sweeps.spec.design import TuneSpec
from train.config.errors import SpecError

SPEC = TuneSpec()


def search(response, guess=1e-3, spec=SPEC):
    """Rates in the order in which they were asked for, and their losses."""
    tried: dict[float, float] = {}
    while wanted := proposals(spec, guess, tried):
        assert not set(wanted) & set(tried), "no rate is trained twice"
        tried |= {rate: response(rate) for rate in wanted}
        assert len(tried) <= spec.most + 2
    return tried


def bowl(best):
    """Steep above the best rate and flat below it, as responses are."""
    return lambda rate: 2 + np.log(rate / best) ** 2 * (0.05 if rate < best else 0.2)


@pytest.mark.parametrize("best", [1e-3, 1.9e-3, 4e-4, 6e-3, 1.3e-4])
def test_the_optimum_is_located_between_neighbours(best):
    tried = search(bowl(best))
    found = located(SPEC, tried)
    assert found.low < best < found.high and found.high / found.low <= 2.01, found
    assert found.reason == "" and 4 <= len(tried) <= SPEC.most


def test_narrower_ends_take_more_rates():
    counts = [len(search(bowl(1.5e-3), spec=TuneSpec(within=w, most=30))) for w in (2.0, 1.2, 1.05)]
    assert counts[0] < counts[1] < counts[2]


def test_the_next_rate_follows_from_those_tried_whatever_order_they_came_in():
    tried = search(bowl(2.3e-3))
    done = dict(list(tried.items())[:4])
    assert proposals(SPEC, 1e-3, done) == proposals(SPEC, 1e-3, dict(reversed(done.items())))
    assert proposals(SPEC, 1e-3, done) == (list(tried)[4],)


def test_rates_that_diverge_lie_above_the_optimum():
    tried = search(lambda rate: math.inf if rate > 5e-4 else bowl(4e-4)(rate))
    found = located(SPEC, tried)
    assert found.low < 4e-4 < found.high <= 5e-4 and math.isinf(tried[1e-3])
    nothing = search(lambda rate: math.inf)
    assert len(nothing) == 3 and located(SPEC, nothing).reason == "all 3 rates diverged"


def test_an_optimum_beyond_reach_is_said_to_be_at_an_end():
    tried = search(lambda rate: -math.log(rate))
    assert len(tried) == SPEC.most
    assert located(SPEC, tried).reason == "best at the largest of 9 rates (tune.most)"
    wide = search(bowl(1.5e-3), spec=TuneSpec(within=1.05, most=5))
    assert located(TuneSpec(within=1.05, most=5), wide).reason.startswith("stopped after 5 rates")


def test_rates_are_written_in_four_digits():
    assert rounded(0.00123456) == 0.001235
    with pytest.raises(SpecError, match=r"tune\.most=3: a parabola takes at least 4 rates"):
        TuneSpec(most=3)
