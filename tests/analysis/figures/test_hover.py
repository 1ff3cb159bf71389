import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from analysis.figures import hover as marks_module
from analysis.figures.hover import marks, name_runs
from analysis.figures.style import INK, new_figure, styled
from analysis.report.svg import colour_variables, drawing, svg

ODD = ['<script>alert("1")</script>', "row 1", "a&b/é#"]


def scatter(rasterized=False, x=(1, 10, 100), ids=ODD):
    with styled():
        figure, (axes,) = new_figure(width=5, height=4)
        points = axes.scatter(x, range(1, len(x) + 1), color="#0072b2", rasterized=rasterized)
        name_runs(points, ids)
        axes.set_xscale("log")
    return figure, axes


@pytest.mark.parametrize("rasterized", [False, True])
def test_points_are_found_where_they_are_drawn(rasterized):
    figure, _ = scatter(rasterized)
    text = svg(figure, "drawn")
    found = marks(figure)
    assert [mark.run_id for mark in found] == ODD
    if not rasterized:
        uses = re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: #0072b2', text)
        drawn = [(float(x), float(y)) for x, y in uses]
        assert [(mark.x, mark.y) for mark in found] == [pytest.approx(xy, abs=0.01) for xy in drawn]
    assert [mark.x for mark in found] == sorted(mark.x for mark in found)
    assert [mark.y for mark in found] == sorted((mark.y for mark in found), reverse=True)


def test_a_line_is_named_along_its_way_and_only_inside_the_axes():
    with styled():
        figure, (axes,) = new_figure()
        lines = [np.column_stack([np.linspace(0, 1, 50), np.full(50, level)]) for level in (1, 9)]
        drawn = LineCollection(lines)
        name_runs(drawn, ["low", "high"])
        axes.add_collection(drawn)
        axes.set(xlim=(0, 1), ylim=(0, 2))
    svg(figure, "lines")
    found = marks(figure)
    assert {mark.run_id for mark in found} == {"low"}
    assert len(found) == marks_module.ALONG_A_LINE


def test_there_are_at_most_so_many(monkeypatch):
    monkeypatch.setattr(marks_module, "MOST_MARKS", 10)
    figure, _ = scatter(x=np.geomspace(1, 100, 95), ids=[f"r{i}" for i in range(95)])
    svg(figure, "many")
    assert len(marks(figure)) == 10


def test_a_figure_without_names_has_no_marks():
    with styled():
        figure, (axes,) = new_figure()
        axes.scatter([1, 2], [3, 4])
    svg(figure, "plain")
    assert marks(figure) == []


def test_the_file_holds_no_links_and_its_own_colours():
    figure, _ = scatter()
    text = svg(figure, "drawn")
    ET.fromstring(text)
    assert "<a " not in text and "script" not in text
    assert INK in text


def test_the_element_is_small_speaks_and_follows_the_page():
    figure, _ = scatter()
    drawn = drawing(figure, "drawn", 'alt "<b>" & more')
    root = ET.fromstring(drawn.element)
    assert root.attrib["aria-label"] == 'alt "<b>" & more'
    assert len(drawn.element) + sum(map(len, drawn.glyphs.values())) < len(svg(figure, "drawn"))
    assert "#0072b2" in drawn.colours
    assert "var(--c0072b2)" in drawn.element and "currentColor" in drawn.element
    assert not re.search(r"#[0-9a-f]{6}", drawn.element)
    ids = {e.attrib["id"] for e in root.iter() if "id" in e.attrib} | drawn.glyphs.keys()
    used = set(re.findall(r'href="#([^"]+)"', drawn.element))
    assert used and used <= ids
    assert drawn.size == pytest.approx((360, 288))


def test_variables_have_a_light_and_a_dark_value():
    colours = frozenset({"#0072b2", "#009e73"})
    assert colour_variables(colours, dark=False) == "--c0072b2: #0072b2; --c009e73: #009e73;"
    dark = colour_variables(colours, dark=True)
    assert dark.startswith("--c0072b2: #") and "#0072b2" not in dark
