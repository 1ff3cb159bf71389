import pytest

from train.hparams import hyperparameters, power_of_two_sequences
from train.spec import SpecError


def test_default_rule_follows_its_formulas():
    chosen = hyperparameters("default", 108_000_000, 2e9)
    assert chosen.lr_peak == pytest.approx(0.00235)
    assert chosen.batch_tokens == pytest.approx(0.58 * 2e9**0.571)
    assert chosen.warmup_tokens == 108_000_000
    assert chosen.beta2 == 0.99


def test_default_rule_at_laptop_scale_is_capped():
    chosen = hyperparameters("default", 30_000, 2e6)
    assert chosen.lr_peak == 0.01
    assert chosen.batch_tokens == 2e6 / 2000
    assert chosen.warmup_tokens == 30_000


def test_small_batches_get_smaller_rates():
    """A quarter of 512 tokens halves the cap."""
    assert hyperparameters("default", 30_000, 128 * 2000).lr_peak == pytest.approx(0.005)


def test_warmup_is_at_most_a_tenth_of_the_run():
    assert hyperparameters("default", 10**6, 1e6).warmup_tokens == 1e5


def test_an_unknown_rule_names_the_known_ones():
    with pytest.raises(SpecError, match="'magic' is unknown; expected one of default"):
        hyperparameters("magic", 1, 1)


@pytest.mark.parametrize(("tokens", "batch"), [(1, 128), (128, 128), (1000, 512), (1024, 1024)])
def test_batches_are_powers_of_two_in_sequences(tokens, batch):
    assert power_of_two_sequences(tokens, 128) == batch
