import re

from analysis.figures.figure_spec import FigureSpec
from analysis.figures.style import new_figure
from analysis.report.document import Part, Section, TableSpec
from analysis.report.markdown import MOST_ROWS, markdown
from analysis.report.report import Report

NASTY = "<script>alert(1)</script> | [x](javascript:1) *b* `c` @someone\nsecond line"


def made(**changed):
    figure, _ = new_figure()
    values = {
        "title": "Scaling laws",
        "decision": "With 1e12 FLOPs, train 41.7k parameters.",
        "caveats": ["The approaches disagree"],
        "facts": [("runs fitted", "26")],
        "parts": [
            Part("Fits", [
                Section("Approach 2", ["N_opt grows as C^0.38"],
                        [FigureSpec("isoflop", figure, "profiles", "Profiles")],
                        [TableSpec("Minima", ["budget", "N_opt"], [["1e11", "18.9k"]])])
            ])
        ],
        "command": "python -m analysis sweep=results/demo",
        "provenance": [("counting", "exact")],
    }  # fmt: skip
    return markdown(Report(**{**values, **changed}))


def test_it_says_what_the_page_says():
    text = made()
    assert text.startswith("# Scaling laws\n\n**With 1e12 FLOPs, train 41.7k parameters.**\n")
    for piece in (
        "| runs fitted |\n| --- |\n| 26 |",
        "- The approaches disagree",
        "## Fits\n\n### Approach 2\n\nN\\_opt grows as C^0.38",
        "![profiles](figures/isoflop.png)",
        "| budget | N\\_opt |\n| --- | --- |\n| 1e11 | 18.9k |",
        "- counting: exact",
        "- made by `python -m analysis sweep=results/demo`",
    ):
        assert piece in text


def test_names_are_no_markup():
    table = TableSpec(NASTY, [NASTY, "b"], [[NASTY, "1"]])
    text = made(
        title=NASTY, decision=NASTY, caveats=[NASTY], facts=[(NASTY, NASTY)], command=NASTY,
        parts=[Part(NASTY, [Section(NASTY, [NASTY], [], [table])])], provenance=[(NASTY, NASTY)],
    )  # fmt: skip
    body, _, command = text.rpartition("- made by ")
    assert "<script" not in body and "@someone" not in body
    assert not re.search(r"(?<!\\)[\[*`]x?\]?", body.replace("**", ""))
    assert command.startswith("`` <script>")  # a code span, which shows everything as it is
    for line in body.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) in (2, 3)


def test_long_tables_are_cut_and_say_so():
    table = TableSpec("Runs", ["run"], [[f"r{i}"] for i in range(1000)])
    text = made(parts=[Part("Runs", [Section("Every run", tables=[table])])])
    assert text.count("| r") == MOST_ROWS + 2  # and the heads of facts and of the table
    assert f"{MOST_ROWS} of 1,000 rows; report.html has the others." in text
