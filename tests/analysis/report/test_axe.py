"""The report against the rules of access that axe checks: names, headings, contrast, roles."""

from pathlib import Path

import axe_core_python
import pytest

from analysis.__main__ import analyse
from analysis.config import AnalysisConfig
from tests.support.chromium import NAME, Browser
from train.config.cli import load_config

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(NAME is None, reason="no Chromium; make packages installs one"),
]

AXE = Path(axe_core_python.__path__[0]) / "axe.min.js"
VIOLATIONS = """axe.run(document).then(made => made.violations.map(
  one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 200)).join(" | ")}`))"""


def test_axe_finds_nothing_in_either_choice_of_colours(sweep_dir, tmp_path):
    overrides = [f"sweeps=[{sweep_dir}]", f"out={tmp_path}", "fit.n_resamples=0"]
    page = analyse(load_config("analysis", overrides, AnalysisConfig), "made by a test")
    with Browser() as browser:
        for dark in (False, True):
            browser.view(1280, 900, dark=dark)
            for sheet in (page, page.with_name("poster.html")):
                browser.open(sheet)
                browser.run(AXE.read_text() + ";0")
                assert browser.run(VIOLATIONS) == []
