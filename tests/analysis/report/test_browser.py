"""The report in a real browser: it renders in silence, names runs, sorts, filters, and runs no
name of a run as a script.
"""

import itertools

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import analyse
from analysis.config import AnalysisConfig
from analysis.report.html import PAGE_ROWS
from tests.support.chromium import NAME, Browser
from train.config.cli import load_config

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(NAME is None, reason="no Chromium; make packages installs one"),
]

NASTY = "<script>alert(1)</script>"
ENDS = '</script><img src=x onerror="alert(2)">'


@pytest.fixture(scope="module")
def page(sweep_dir, tmp_path_factory):
    """A report of more runs than a page of its table, two of them with names that are markup."""
    sweep, out = (tmp_path_factory.mktemp(name) for name in ("sweep", "out"))
    runs = pd.read_parquet(sweep_dir / "runs.parquet")
    curves = pd.read_parquet(sweep_dir / "curves.parquet")
    names = runs["name"].tolist()
    names[0], names[1] = NASTY, ENDS
    second = runs["run_id"].iloc[1]
    runs = runs.assign(name=names, run_id=runs["run_id"].replace(second, ENDS))
    more = runs[(runs["seed"] == 1) & (runs["status"] == "finished")]
    more = more.assign(
        run_id=more["run_id"] + "+", seed=2, loss=more["loss"] * 1.02, name=more["name"] + "+"
    )
    pd.concat([runs, more]).to_parquet(sweep / "runs.parquet")
    curves.assign(run_id=curves["run_id"].replace(second, ENDS)).to_parquet(
        sweep / "curves.parquet"
    )
    overrides = [f"sweeps=[{sweep}]", f"out={out}", f"title='{NASTY}'", "fit.n_resamples=0"]
    return analyse(load_config("analysis", overrides, AnalysisConfig), f"made by {ENDS}")


@pytest.fixture(scope="module")
def shared():
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(shared, page):
    """The page freshly loaded in a window of a desk; any error of its console fails the test."""
    shared.errors.clear()
    shared.view(1280, 900)
    shared.open(page)
    yield shared
    assert shared.errors == []


POINT = """(() => {
  const plot = document.querySelector(".plot[data-figure=isoflop]");
  plot.scrollIntoView({block: "center"});
  const data = JSON.parse(document.getElementById("data").textContent);
  const [row, x, y] = data.figures.isoflop.find(([row]) => data.runs.cells[row][0] === %r);
  const place = () => new DOMPoint(x, y).matrixTransform(plot.querySelector("svg").getScreenCTM());
  plot.scrollLeft += place().x - innerWidth / 2;
  return [place().x, place().y];
})()"""


RUNS = """[...document.querySelectorAll("table[data-sortable]")]
  .find(table => [...table.tHead.rows[0].cells].some(head => head.textContent === "shape"))"""
"""The table of every run, in JavaScript."""

TOOLS = f"{RUNS}.parentElement.previousElementSibling"


def rows(browser, column):
    """The cells of a column, by its heading, that the table of runs shows now."""
    return browser.run(f"""(() => {{
      const table = {RUNS};
      const heads = [...table.tHead.rows[0].cells].map(head => head.textContent);
      const column = heads.indexOf("{column}");
      return [...table.tBodies[0].rows].map(row => row.cells[column].textContent);
    }})()""")


def type_filter(browser, text):
    browser.run(f"""(() => {{
      const input = {TOOLS}.querySelector("input[type=search]");
      input.focus();
      input.value = {text!r};
      input.dispatchEvent(new Event("input"));
    }})()""")
    return browser.run(f"{TOOLS}.querySelector('[role=status]').textContent")


def press_heading(browser, name):
    """The state of a heading after it was chosen and pressed by keyboard."""
    head = f"""[...{RUNS}.querySelectorAll("th")]
      .find(head => head.textContent === "{name}")"""
    browser.run(f"{head}.querySelector('button').focus()")
    browser.press("Enter")
    return browser.run(f"{head}.getAttribute('aria-sort')")


def test_it_renders_and_is_silent(browser):
    assert browser.run("document.title") == NASTY
    heads = browser.run("[...document.querySelectorAll('main > h2')].map(h => h.textContent)")
    assert heads == ["Fits", "Validation", "Runs", "Exclusions", "Provenance"]
    drawn = browser.run("""[...document.querySelectorAll(".plot svg")].map(svg =>
      [svg.getBoundingClientRect().width, svg.querySelectorAll("use, path").length])""")
    assert len(drawn) >= 5
    assert all(width > 300 and shapes > 20 for width, shapes in drawn)


def test_ids_are_unique_and_references_lead_somewhere(browser):
    twice, dangling = browser.run("""(() => {
      const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
      const known = new Set(ids);
      const used = [...document.querySelectorAll("use")].map(e => e.getAttribute("href").slice(1));
      return [ids.filter((id, i) => ids.indexOf(id) !== i), used.filter(id => !known.has(id))];
    })()""")
    assert twice == []
    assert dangling == []


def test_names_of_runs_are_never_scripts(browser):
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.scripts.length") == 2
    assert "rows 1 to 3 of 3" in type_filter(browser, "script")
    assert set(rows(browser, "run")) == {NASTY, ENDS, ENDS + "+"}
    browser.move(*browser.run(POINT % NASTY))
    assert browser.run("document.querySelector('.tip strong').textContent") == NASTY
    browser.run("document.querySelector('.tip a').click()")
    assert browser.run("document.querySelector('dialog h2').textContent") == NASTY
    assert browser.run("document.scripts.length") == 2


def test_a_link_to_a_run_of_any_name_opens_it(browser, page):
    linked = browser.run(
        "[...document.querySelectorAll('td a')].find(a => a.textContent.includes('onerror')).hash"
    )
    browser.open(page, linked)
    assert browser.run("document.querySelector('dialog').open") is True
    assert browser.run("document.querySelector('dialog h2').textContent") == ENDS


def test_hovering_a_point_names_its_run(browser):
    at = browser.run(POINT % "c8e+11-d24-s1")
    browser.move(*at)
    said = browser.run("document.querySelector('.tip').textContent")
    assert said.startswith("c8e+11-d24-s1")
    for fact in ("N20", "loss", "shape 2×24×", "seed 1"):
        assert fact in said
    browser.move(5, 450)
    assert browser.run("document.querySelector('.tip').hidden") is True


def test_a_click_shows_the_runs_curve_and_escape_closes_it(browser):
    at = browser.run(POINT % "c8e+11-d24-s1")
    browser.move(*at)
    browser.click(*at)
    points, others = browser.run("""(() => {
      const count = path => path.getAttribute("d").split(/[ML]/).length - 1;
      return [count(document.querySelector("dialog .own")),
              document.querySelectorAll("dialog .other").length];
    })()""")
    assert points == 10
    assert others > 20
    browser.press("Escape")
    assert browser.run("document.querySelector('dialog').open") is False


def test_the_keyboard_walks_through_the_points(browser):
    browser.run("document.querySelector('.plot[data-figure=isoflop]').focus()")
    browser.press("ArrowRight")
    first = browser.run("document.querySelector('.tip strong').textContent")
    browser.press("End")
    last = browser.run("document.querySelector('.tip strong').textContent")
    assert first in (NASTY, ENDS, ENDS + "+")  # the smallest model's
    assert "-d96-" in last
    assert browser.run("document.querySelector('[aria-live]').textContent").startswith(last)
    browser.press("Enter")
    assert browser.run("document.querySelector('dialog h2').textContent") == last


def test_the_run_table_pages_sorts_and_filters(browser):
    total = browser.run("JSON.parse(document.getElementById('data').textContent).runs.ids.length")
    assert total > PAGE_ROWS == len(rows(browser, "loss"))
    assert press_heading(browser, "loss") == "ascending"
    up = [float(cell) for cell in rows(browser, "loss")]
    assert up == sorted(up)
    assert press_heading(browser, "loss") == "descending"
    down = [float(cell) for cell in rows(browser, "loss")]
    assert down == sorted(down, reverse=True) and down[0] > up[-1] - 1e-9
    assert press_heading(browser, "n_params") == "ascending"
    assert browser.run("document.querySelectorAll('th[aria-sort=ascending]').length") == 1

    assert f"filtered from {total}" in type_filter(browser, f"loss<{np.median(up)} seed=1")
    shown = rows(browser, "loss")
    assert shown and all(float(cell) < np.median(up) for cell in shown)
    assert set(rows(browser, "seed")) == {"1"}
    assert "no column lss; there are run" in type_filter(browser, "lss<2")
    type_filter(browser, "")
    last = f"[...{TOOLS}.querySelectorAll('button')].find(b => b.textContent === 'next')"
    browser.run(f"{last}.click()")
    assert len(rows(browser, "loss")) == total - PAGE_ROWS


@pytest.mark.parametrize("dark", [False, True])
def test_letters_stand_out_in_light_and_dark(browser, dark):
    """Contrast of every piece of text against what lies behind it, by the rule of WCAG 2.2."""
    browser.view(1280, 900, dark=dark)
    assert browser.run("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)"
    )
    browser.run("document.querySelector('td a').click()")
    worst = browser.run("""(() => {
      const parse = text => text.match(/[\\d.]+/g).map(Number);
      const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
      const behind = e => {
        for (; e; e = e.parentElement) {
          const colour = parse(getComputedStyle(e).backgroundColor);
          if (colour.length === 3 || colour[3] > 0) return colour;
        }
      };
      let worst = [99, ""];
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        const unread = element.closest("script, style, [hidden], .unseen, button:disabled");
        if (unread || !walker.currentNode.data.trim()) continue;
        const style = getComputedStyle(element);
        const ink = parse(element.closest("svg") ? style.fill : style.color);
        const pair = [luminance(ink), luminance(behind(element))].sort((a, b) => b - a);
        const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
        if (ratio < worst[0]) worst = [ratio, element.outerHTML.slice(0, 120)];
      }
      return worst;
    })()""")
    assert worst[0] >= 4.5, worst


def test_a_phone_scrolls_a_wide_figure_and_taps_its_points(browser, page):
    browser.view(390, 844, touch=True)
    browser.open(page)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    inner, outer = browser.run("""(() => {
      const plot = document.querySelector(".plot[data-figure=isoflop]");
      return [plot.scrollWidth, plot.clientWidth]; })()""")
    assert outer <= 390 and inner > 600  # letters keep their size
    browser.tap(*browser.run(POINT % "c8e+11-d24-s1"))
    assert browser.run("document.querySelector('.tip strong').textContent") == "c8e+11-d24-s1"
    box = browser.run("""(() => { const b = document.querySelector(".tip").getBoundingClientRect();
      return [b.left, b.right]; })()""")
    assert box[0] >= 0 and box[1] <= 390
    browser.tap(
        *browser.run("""(() => { const b = document.querySelector(".tip a")
      .getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]; })()""")
    )
    assert browser.run("new Promise(r => setTimeout(() => r(location.hash), 300))") != ""
    assert browser.run("document.querySelector('dialog h2').textContent") == "c8e+11-d24-s1"


def test_landmarks_alternatives_and_the_skip_link(browser):
    browser.press("Tab")
    assert browser.run("document.activeElement.textContent") == "Skip to the content"
    assert browser.run("document.querySelector(document.activeElement.hash).tagName") == "MAIN"
    for landmark in ("nav[aria-label]", "header", "main"):
        assert browser.run(f"document.querySelectorAll({landmark!r}).length") == 1
    spoken = browser.run("""[...document.querySelectorAll("main svg[role=img]")]
      .map(svg => svg.getAttribute("aria-label"))""")
    assert spoken and all(len(text) > 40 for text in spoken)
    levels = browser.run("""[...document.querySelectorAll("body > :not(dialog) h1, h2, h3, h4")]
      .map(h => Number(h.tagName[1]))""")
    assert levels[0] == 1
    assert all(deeper - level <= 1 for level, deeper in itertools.pairwise(levels))
    assert browser.run("document.documentElement.lang") == "en"


def test_it_prints_on_paper(browser, tmp_path):
    browser.view(1280, 900, dark=True)
    browser.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    browser.call("Emulation.setEmulatedMedia", media="print")
    hidden, avoided, paper = browser.run("""(() => {
      const style = query => getComputedStyle(document.querySelector(query));
      return [style("nav").display, style("figure").breakInside,
              style(":root").getPropertyValue("--paper")];
    })()""")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert (hidden, avoided, paper) == ("none", "avoid", "#ffffff")
