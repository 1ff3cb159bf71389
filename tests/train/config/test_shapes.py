import pytest

from train.config.flops import count_params
from train.config.shapes import complete_shape, nearest_shape
from train.config.spec import ModelSpec, SpecError


@pytest.mark.parametrize(
    ("d_model", "n_layers", "n_heads", "d_ff"),
    [(16, 2, 2, 40), (64, 2, 2, 168), (128, 2, 4, 344), (256, 4, 4, 704), (768, 12, 12, 2048)],
)
def test_widths_become_whole_shapes(d_model, n_layers, n_heads, d_ff):
    shape = complete_shape(ModelSpec(d_model=d_model))
    assert (shape.n_layers, shape.n_heads, shape.d_ff) == (n_layers, n_heads, d_ff)


@pytest.mark.parametrize("d_model", range(4, 200, 2))
def test_every_even_width_has_an_even_head_size(d_model):
    shape = complete_shape(ModelSpec(d_model=d_model))
    assert shape.d_model % shape.n_heads == 0
    assert shape.head_dim % 2 == 0


def test_what_is_given_is_kept():
    shape = complete_shape(ModelSpec(d_model=64, n_layers=7, n_heads=4, d_ff=10, init_std=0.5))
    assert (shape.n_layers, shape.n_heads, shape.d_ff, shape.init_std) == (7, 4, 10, 0.5)


def test_initial_std_is_gpt2s_at_width_1000():
    assert complete_shape(ModelSpec(d_model=1000)).init_std == pytest.approx(0.02)


def test_an_odd_width_is_refused():
    with pytest.raises(SpecError, match="is odd; use 18"):
        complete_shape(ModelSpec(d_model=17))


@pytest.mark.parametrize("target", [1e4, 1e5, 1e6, 1e8, 1e9])
def test_nearest_shape_is_near(target):
    shape = nearest_shape(target, ModelSpec(vocab_size=257))
    assert count_params(shape).n_params == pytest.approx(target, rel=0.25)


def test_a_target_off_the_ladder_is_refused():
    with pytest.raises(SpecError, match="the ladder spans"):
        nearest_shape(10, ModelSpec(vocab_size=257))
