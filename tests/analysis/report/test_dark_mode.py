import matplotlib as mpl
import pytest
from matplotlib.colors import to_hex

from analysis.figures import style
from analysis.report.dark_mode import DARK_PAPER, LIGHT_PAPER, contrast, dark_twin

PALETTE = ["BLUE", "ORANGE", "GREEN", "PURPLE", "VERMILION", "SKY", "GREY", "INK"]


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#ffffff", 1.0),
        ("#777777", "#ffffff", 4.478),
        ("#ffffff", "#777777", 4.478),
    ],
)
def test_contrast_is_that_of_the_guidelines(one, other, ratio):
    assert contrast(one, other) == pytest.approx(ratio, abs=1e-3)


@pytest.mark.parametrize("name", PALETTE)
def test_the_palette_stands_out_on_both_papers(name):
    colour = getattr(style, name)
    assert contrast(colour, LIGHT_PAPER) >= 3
    assert contrast(dark_twin(colour), DARK_PAPER) >= 3


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 0.75, 1])
def test_the_scale_stands_out_on_both_papers_and_most_where_it_is_largest(share):
    colour, largest = to_hex(style.SCALE(share)), to_hex(style.SCALE(1.0))
    assert contrast(colour, LIGHT_PAPER) >= 3
    assert contrast(dark_twin(colour), DARK_PAPER) >= 3
    assert contrast(colour, LIGHT_PAPER) <= contrast(largest, LIGHT_PAPER)
    assert contrast(dark_twin(colour), DARK_PAPER) <= contrast(dark_twin(largest), DARK_PAPER)


def test_a_dark_twin_is_a_colour_for_every_colour():
    for colour in ("#000000", "#ffffff", "#ff0000", "#00ff00", "#0000ff", "#ffff00"):
        assert mpl.colors.is_color_like(dark_twin(colour))
    grey = dark_twin("#808080")
    assert abs(int(grey[1:3], 16) - int(grey[5:7], 16)) <= 1


def test_the_scale_has_few_enough_steps_to_stay_a_drawing():
    """Matplotlib turns colour bars of 50 steps and more into pixels, which no page can recolour."""
    assert style.SCALE.N < 50
