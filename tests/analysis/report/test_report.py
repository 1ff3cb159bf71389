import json
import re

import pytest

from analysis.figures.figure_spec import FigureSpec
from analysis.figures.style import new_figure, power_label, styled
from analysis.format import count_label, number
from analysis.report.document import Part, Section, TableSpec
from analysis.report.html import PAGE_ROWS, island, render
from analysis.report.report import Report, ReportError
from analysis.report.svg import png, svg
from analysis.report.write import write_report

NASTY = '<script>alert("1")</script> & <b>'


def spec(name="drawn"):
    with styled():
        figure, (axes,) = new_figure()
        axes.plot([1, 2], [3, 4])
        axes.set_xlabel("parameters N")
    return FigureSpec(name, figure, f'alt "{NASTY}', f"caption {NASTY}")


def report(**changed):
    table = TableSpec(NASTY, ["run", "loss"], [[NASTY, "2.1"], ["b", "1.2e9"]])
    values = {
        "title": NASTY,
        "decision": f"train {NASTY}",
        "caveats": [NASTY],
        "facts": [(NASTY, NASTY)],
        "parts": [Part(NASTY, [Section(NASTY, [f"C^0.5, N_opt and {NASTY}"], [spec()], [table])])],
        "command": f"python -m analysis {NASTY}",
    }
    return Report(**{**values, **changed})


def test_every_string_is_escaped():
    html = render(report())
    assert html.count("<script") == 2  # the data and the page's own script
    assert "<b>" not in html
    assert html.count("&lt;script&gt;") >= 10


def test_the_page_is_self_contained():
    html = render(report())
    body = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)
    assert not re.search(r'(src|href)="(?!#)', body)
    assert "@import" not in html
    assert "url(http" not in html


def test_data_can_not_end_its_script():
    content = {"</script><!--": ["<script>alert(1)</script>", "&amp;", "\u2028"]}
    text = str(island(content))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == content


def test_two_figures_of_one_name_are_refused():
    with pytest.raises(ReportError, match="figures one occur twice"):
        report(parts=[Part("p", [Section("s", figures=[spec("one"), spec("one")])])])


def test_only_the_first_rows_of_a_sortable_table_are_in_the_page_itself():
    rows = [[f"r{i}", str(i)] for i in range(3 * PAGE_ROWS)]
    table = TableSpec("Runs", ["run", "loss"], rows, sortable=True)
    html = render(report(parts=[Part("p", [Section("s", tables=[table])])]))
    assert html.count("<td>r") == PAGE_ROWS
    assert f"The first {PAGE_ROWS} of {3 * PAGE_ROWS} rows." in html
    data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])
    assert data["tables"]["table-0"]["cells"] == rows


def test_figures_follow_the_page_and_speak():
    html = render(report())
    assert 'role="img"' in html
    assert "currentColor" in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_plain_mathematics_is_typeset():
    html = render(report(decision="C^0.49 of 1.2e+3? N_opt at 2.5e12 FLOPs, D^alpha", caveats=[]))
    assert "C<sup>0.49</sup>" in html
    assert "N<sub>opt</sub> at 2.5 × 10<sup>12</sup> FLOPs" in html
    assert "D<sup>α</sup>" in html or "D<sup>alpha</sup>" in html


def test_columns_of_numbers_are_flush_right():
    html = render(report())
    assert '<th scope="col" class="number">loss</th>' in html
    assert '<th scope="col">run</th>' in html


def test_files_beside_the_page(tmp_path):
    path = write_report(report(parts=[Part("p", [Section("s", figures=[spec("one")])])]), tmp_path)
    assert path.name == "report.html"
    assert (tmp_path / "report.md").read_text().startswith("# ")
    assert (tmp_path / "figures" / "one.svg").read_text().startswith("<?xml")
    assert (tmp_path / "figures" / "one.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_figure_gives_the_same_bytes():
    assert svg(spec().figure, "drawn") == svg(spec().figure, "drawn")
    assert png(spec().figure) == png(spec().figure)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4567, "0.457"),
        (1.5e12, "1.5e12"),
        (2e11, "2e11"),
        (12345.0, "12,345"),
        (1.2e-7, "1.2e-7"),
        (float("nan"), "–"),
        (float("inf"), "∞"),
        (0.0, "0"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


def test_labels():
    assert [count_label(v) for v in (950, 33_000, 1.5e9, 2e12)] == ["950", "33k", "1.5B", "2T"]
    assert power_label(1e9) == "$10^{9}$"
    assert power_label(2e11) == "$2\\times 10^{11}$"
