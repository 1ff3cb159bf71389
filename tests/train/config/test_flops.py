from dataclasses import replace

import pytest

from train.config.flops import (
    count_params,
    flops_per_token,
    flops_per_token_6nd,
    flops_per_token_chinchilla,
    steps_for,
)
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec, SpecError
from train.model.build import build_model

SHAPES = [
    ModelSpec(d_model=16, vocab_size=257, seq_len=32),
    ModelSpec(d_model=24, vocab_size=14, seq_len=12, n_layers=3),
    ModelSpec(d_model=64, vocab_size=100, seq_len=16, tied=True),
    ModelSpec(d_model=64, vocab_size=100, seq_len=16, n_heads=4, n_kv_heads=2),
    ModelSpec(family="qwen3", d_model=64, vocab_size=90, seq_len=16, n_heads=4, n_kv_heads=1),
    ModelSpec(family="qwen3", d_model=32, vocab_size=90, seq_len=16),
    ModelSpec(family="gpt2", d_model=16, vocab_size=257, seq_len=32),
    ModelSpec(family="gpt2", d_model=32, vocab_size=50, seq_len=8, tied=True, n_layers=4),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s.family}-d{s.d_model}-{s.tied}")
def test_counts_equal_the_real_module_group_by_group(shape):
    shape = complete_shape(shape)
    counts = count_params(shape)
    real = dict(build_model(shape, seed=0).named_parameters())
    assert sum(p.numel() for p in real.values()) == counts.n_params_total

    def group(*words: str, ndim: int = 2) -> int:
        return sum(
            p.numel() for n, p in real.items() if p.ndim == ndim and any(w in n for w in words)
        )

    assert group("embed_tokens", "wte") == counts.embedding
    assert group("wpe") == counts.position
    assert group("attn") == counts.attention
    assert group("mlp") == counts.feed_forward
    assert group("", ndim=1) == counts.norm_and_bias
    assert group("lm_head") == (0 if shape.tied else counts.head)


def test_tying_changes_the_total_and_neither_n_nor_flops():
    untied = complete_shape(ModelSpec(d_model=32, vocab_size=257))
    tied = replace(untied, tied=True)
    assert count_params(tied).n_params == count_params(untied).n_params
    assert flops_per_token(tied) == flops_per_token(untied)
    assert count_params(untied).n_params_total - count_params(tied).n_params_total == 257 * 32


def test_flops_by_hand():
    shape = ModelSpec(d_model=8, n_layers=2, n_heads=2, d_ff=24, vocab_size=10, seq_len=16)
    n_params = 2 * (4 * 64 + 3 * 8 * 24) + 80
    assert count_params(shape).n_params == n_params
    assert flops_per_token(shape) == 6 * n_params + 12 * 2 * 8 * 16
    assert flops_per_token_6nd(shape) == 6 * (n_params + 80 + 2 * 2 * 8 + 8)


def test_chinchilla_count_by_hand_for_one_sequence():
    """Hoffmann et al. 2022, appendix F, term by term; backward counts twice forward."""
    d, seq, heads, key, d_ff, vocab, layers = 64, 32, 4, 16, 256, 100, 3
    shape = ModelSpec(
        family="gpt2", d_model=d, n_layers=layers, n_heads=heads, d_ff=d_ff, vocab_size=vocab,
        seq_len=seq,
    )  # fmt: skip
    embeddings = 2 * seq * vocab * d
    attention = (
        2 * 3 * seq * d * (key * heads)
        + 2 * seq * seq * (key * heads)
        + 3 * heads * seq * seq
        + 2 * seq * seq * (key * heads)
        + 2 * seq * (key * heads) * d
    )
    dense = 2 * seq * (d * d_ff + d * d_ff)
    logits = 2 * seq * d * vocab
    forward = embeddings + layers * (attention + dense) + logits
    assert seq * flops_per_token_chinchilla(shape) == 3 * forward


@pytest.mark.parametrize(
    ("tokens", "batch", "steps"), [(1000, 100, 10), (149, 100, 1), (151, 100, 2)]
)
def test_steps_are_the_nearest_whole_number(tokens, batch, steps):
    assert steps_for(tokens, batch) == steps


def test_a_budget_under_one_step_is_refused():
    with pytest.raises(SpecError, match="do not fill one step of batch_tokens=100"):
        steps_for(99, 100)
