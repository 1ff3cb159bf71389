import pytest

from train.config.hyperparameters import RULES, Scale, hyperparameters, power_of_two_sequences
from train.config.spec import SpecError

GPT2_SMALL = Scale(n_params=108_000_000, n_tokens=2e9, d_model=768, n_layers=12)
LAPTOP = Scale(n_params=30_000, n_tokens=2e6, d_model=32, n_layers=2)


def test_default_rule_follows_its_formulas():
    chosen = hyperparameters("default", GPT2_SMALL)
    assert chosen.lr_peak == pytest.approx(0.00235)
    assert chosen.batch_tokens == pytest.approx(0.58 * 2e9**0.571)
    assert chosen.warmup_tokens == 108_000_000
    assert chosen.beta2 == 0.99


def test_default_rule_at_laptop_scale_is_capped():
    chosen = hyperparameters("default", LAPTOP)
    assert chosen.lr_peak == 0.01
    assert chosen.batch_tokens == 2e6 / 2000
    assert chosen.warmup_tokens == 30_000


def test_small_batches_get_smaller_rates():
    """A quarter of 512 tokens halves the cap."""
    short = Scale(n_params=30_000, n_tokens=128 * 2000, d_model=32, n_layers=2)
    assert hyperparameters("default", short).lr_peak == pytest.approx(0.005)


def test_warmup_is_at_most_a_tenth_of_the_run():
    short = Scale(n_params=10**6, n_tokens=1e6, d_model=64, n_layers=2)
    assert hyperparameters("default", short).warmup_tokens == 1e5


@pytest.mark.parametrize(
    ("rule", "lr_peak", "batch_tokens"),
    [
        ("porian", 0.0047, 327_680),
        ("olmo", 0.0047, 327_680),
        ("steplaw", 1.79 * 108e6**-0.713 * 2e9**0.307, 0.58 * 2e9**0.571),
        ("hoffmann", 2e-4 * 0.625 ** (0.43364 / 5.43180), 0.5e6),
        ("kaplan", 0.003239 - 0.0001395 * 18.4976, 524_288),
        ("completep", 1 / 256, 0.58 * 2e9**0.571),
    ],
)
def test_published_rules_at_108m_parameters(rule, lr_peak, batch_tokens):
    """Values worked out by hand from each paper's formula."""
    chosen = hyperparameters(rule, GPT2_SMALL)
    assert chosen.lr_peak == pytest.approx(lr_peak, rel=1e-4)
    assert chosen.batch_tokens == pytest.approx(batch_tokens, rel=1e-6)


def test_nanochat_is_its_own_reference():
    reference = Scale(n_params=110_000_000, n_tokens=12 * 110e6, d_model=768, n_layers=12)
    chosen = hyperparameters("nanochat", reference)
    assert (chosen.lr_peak, chosen.batch_tokens) == pytest.approx((0.004, 524_288))
    assert chosen.weight_decay == pytest.approx(0.2)


def test_kaplans_warmup_ignores_the_run():
    assert hyperparameters("kaplan", LAPTOP).warmup_tokens == 3000 * 524_288


def test_kaplan_with_a_short_warmup_differs_in_that_alone():
    long, short = (hyperparameters(rule, LAPTOP) for rule in ("kaplan", "kaplan_short_warmup"))
    assert short.warmup_tokens == min(LAPTOP.n_params, 0.1 * LAPTOP.n_tokens)
    assert (short.lr_peak, short.batch_tokens, short.beta2) == (
        long.lr_peak, long.batch_tokens, long.beta2,
    )  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_gives_usable_values_at_every_scale(rule):
    for scale in (LAPTOP, GPT2_SMALL, Scale(70 * 10**9, 1.4e12, 8192, 80)):
        chosen = hyperparameters(rule, scale)
        assert 0 < chosen.lr_peak < 0.5
        assert chosen.batch_tokens > 0
        assert chosen.warmup_tokens >= 0
        assert 0 <= chosen.weight_decay <= 1


def test_an_unknown_rule_names_the_known_ones():
    with pytest.raises(SpecError, match="'magic' is unknown; expected one of default"):
        hyperparameters("magic", LAPTOP)


@pytest.mark.parametrize(
    ("tokens", "nearest", "at_most"),
    [(1, 128, 128), (128, 128, 128), (700, 512, 512), (1000, 1024, 512), (1024, 1024, 1024)],
)
def test_batches_are_powers_of_two_in_sequences(tokens, nearest, at_most):
    assert power_of_two_sequences(tokens, 128) == nearest
    assert power_of_two_sequences(tokens, 128, at_most=True) == at_most


def test_half_a_million_tokens_are_half_a_million_and_a_bound_is_a_bound():
    asked = hyperparameters("hoffmann", GPT2_SMALL)
    assert power_of_two_sequences(asked.batch_tokens, 2048, asked.batch_at_most) == 2**19
    assert {rule for rule in RULES if hyperparameters(rule, LAPTOP).batch_at_most} == {
        "default",
        "completep",
    }
