"""The poster: which figures it takes, that its strings are text, that it is one sheet."""

import base64

import pytest

from analysis.__main__ import analyse
from analysis.config import AnalysisConfig
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.style import new_figure
from analysis.report.document import Part, Section
from analysis.report.poster import MOST, chosen, poster
from analysis.report.report import Report
from tests.support.chromium import NAME, Browser
from train.config.cli import load_config


def with_figures(*names: str) -> Report:
    figure, _ = new_figure(1, width=2, height=1)
    specs = [FigureSpec(name, figure, f"<b>{name}</b>", f"A & B of {name}") for name in names]
    parts = [Part("Fits", [Section("All", [], specs)])]
    return Report("Laws", "Train 1.", ["<i>"], [("runs", "26")], parts, "isoflop analyze x")


def test_fits_come_first_then_abilities_then_the_rest():
    names = ["residuals", "a-metrics", "contours", "isoflop", "more", "least", "last"]
    found = [spec.name for spec in chosen(with_figures(*names))]
    assert found == ["isoflop", "contours", "a-metrics", "residuals", "more", "least"]
    assert len(found) == MOST


def test_words_are_escaped_and_figures_are_inside():
    page = poster(with_figures("isoflop"))
    assert "&lt;b&gt;isoflop&lt;/b&gt;" in page and "A &amp; B of isoflop" in page
    assert "<b>isoflop" not in page
    drawing = page.partition("data:image/svg+xml;base64,")[2].partition(chr(34))[0]
    assert b"<svg" in base64.b64decode(drawing)


@pytest.mark.browser
@pytest.mark.skipif(NAME is None, reason="no Chromium; make packages installs one")
def test_it_prints_on_one_sheet(sweep_dir, tmp_path):
    overrides = [f"sweeps=[{sweep_dir}]", f"out={tmp_path}", "fit.n_resamples=0"]
    page = analyse(load_config("analysis", overrides, AnalysisConfig), "made by a test")
    with Browser() as browser:
        browser.open(page.with_name("poster.html"))
        made = browser.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
    assert base64.b64decode(made["data"]).count(b"/Type /Page\n") == 1
