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
    assert shape.head_size % 2 == 0


def test_one_head_size_holds_along_a_whole_ladder():
    """By width alone d44 has 11 heads of 4 and d48 three of 16, a second cause of their losses."""
    assert [complete_shape(ModelSpec(d_model=d)).head_size for d in (44, 48)] == [4, 16]
    for d_model in (16, 48, 128, 512):
        shape = complete_shape(ModelSpec(d_model=d_model, head_dim=16))
        assert (shape.n_heads, shape.head_size) == (d_model // 16, 16)
    with pytest.raises(
        SpecError, match=r"d_model=44 is not divisible by model\.head_dim=16; use .*32 or 48"
    ):
        complete_shape(ModelSpec(d_model=44, head_dim=16))
    with pytest.raises(SpecError, match=r"n_heads=2 and model\.head_dim=16 do not make"):
        ModelSpec(d_model=64, n_heads=2, head_dim=16)
    near = [nearest_shape(n, ModelSpec(vocab_size=257, head_dim=32)) for n in (1e5, 1e6, 1e7)]
    assert {shape.head_size for shape in near} == {32}


def test_depth_follows_from_an_aspect_ratio_where_one_is_set():
    depths = [complete_shape(ModelSpec(d_model=d, aspect_ratio=32)).n_layers for d in (16, 64, 512)]
    assert depths == [1, 2, 16]


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
