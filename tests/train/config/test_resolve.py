from dataclasses import replace

import pytest

from train.config.flops import flops_per_token
from train.config.resolve import DataInfo, resolve
from train.config.spec import (
    DataSpec,
    HorizonSpec,
    ModelSpec,
    OptimSpec,
    RunSpec,
    ScheduleSpec,
    SourceSpec,
    SpecError,
)

FACTS = DataInfo(fingerprint="f", vocab_size=257, n_train_tokens={"a": 10**7, "b": 10**6})
DATA = DataSpec(parts={"a": SourceSpec(weight=0.9), "b": SourceSpec(weight=0.1)})


def spec(**changes) -> RunSpec:
    return RunSpec(**{"data": DATA, "horizon": HorizonSpec(n_tokens=1e6), **changes})


def test_everything_is_filled_and_resolving_again_changes_nothing():
    once = resolve(spec(), FACTS)
    assert resolve(once, FACTS) == once
    assert once.run_id == resolve(once, FACTS).run_id
    assert once.data.fingerprint == "f"
    assert once.model.vocab_size == 257
    assert None not in (once.n_steps, once.optim.lr_peak, once.optim.beta2, once.optim.batch_tokens)


def test_three_horizons_that_ask_for_the_same_run_get_the_same_identity():
    by_tokens = resolve(spec(), FACTS)
    cost = by_tokens.horizon.n_tokens * flops_per_token(by_tokens.model)
    by_flops = resolve(spec(horizon=HorizonSpec(flops=cost)), FACTS)
    assert by_flops.run_id == by_tokens.run_id


def test_flops_are_met_within_half_a_step():
    resolved = resolve(spec(horizon=HorizonSpec(flops=1e12)), FACTS)
    per_step = flops_per_token(resolved.model) * resolved.optim.batch_tokens
    assert abs(resolved.n_steps * per_step - 1e12) <= per_step / 2


def test_the_rule_sees_the_real_horizon():
    short, long = (resolve(spec(horizon=HorizonSpec(n_tokens=n)), FACTS) for n in (1e5, 5e6))
    assert short.optim.batch_tokens < long.optim.batch_tokens


def test_what_is_given_wins_over_the_rule():
    given = spec(
        optim=OptimSpec(lr_peak=0.5, batch_tokens=256, beta2=0.5),
        schedule=ScheduleSpec(warmup_tokens=0),
    )
    resolved = resolve(given, FACTS)
    assert (resolved.optim.lr_peak, resolved.optim.batch_tokens) == (0.5, 256)
    assert (resolved.optim.beta2, resolved.schedule.warmup_tokens) == (0.5, 0.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"horizon": HorizonSpec(n_tokens=10)}, "do not fill one step"),
        ({"horizon": HorizonSpec(flops=1e3)}, "do not fill one step"),
        ({"optim": OptimSpec(batch_tokens=200)}, "not a multiple of .*use 128 or 256"),
        ({"model": ModelSpec(vocab_size=100)}, "smaller than the tokenizer's 257"),
        ({"horizon": HorizonSpec(n_tokens=2e7)}, "epochs of data part 'a'"),
        ({"optim": OptimSpec(rule="magic")}, "optim.rule='magic' is unknown"),
    ],
)
def test_what_can_not_run_is_refused_with_a_way_out(changes, words):
    with pytest.raises(SpecError, match=words):
        resolve(spec(**changes), FACTS)


def test_max_epochs_permits_repetition():
    data = replace(DATA, max_epochs=3)
    resolved = resolve(spec(data=data, horizon=HorizonSpec(n_tokens=2e7)), FACTS)
    assert resolved.n_steps * resolved.optim.batch_tokens == pytest.approx(2e7, rel=1e-3)


def test_an_unsettled_precision_is_refused():
    with pytest.raises(SpecError, match="precision=auto is not settled"):
        resolve(spec(precision="auto"), FACTS)
