from pathlib import Path

import pytest

from benchmarks.figures import Figure, parse, read, report, table


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure("speed", 1.2, "x", at_least=1.1), "met"),
        (Figure("speed", 1.0, "x", at_least=1.1), "MISSED"),
        (Figure("time", 0.2, "s", at_most=0.1), "MISSED"),
        (Figure("time", 0.1, "s", at_most=0.1), "met"),
        (Figure("speed", None, "x", at_least=1.1), "not measured"),
        (Figure("speed", 3.0, "k tokens/s"), ""),
    ],
)
def test_a_figure_is_judged_by_its_goal(figure: Figure, verdict: str):
    assert figure.verdict == verdict
    assert verdict in table([figure])


def test_a_missed_or_absent_figure_fails_the_report_and_a_met_one_does_not(tmp_path: Path, capsys):
    path = tmp_path / "figures.json"
    met, missed = Figure("a", 2.0, at_least=1), Figure("b", 0.5, at_least=1)
    absent = Figure("c", None, at_least=1, note="no such package")
    assert report([met], {}) == 0
    assert report([met, absent], {}) == 1
    assert report([met, missed], {"json": str(path)}) == 1
    assert read(path) == [met, missed]
    assert "no such package" in capsys.readouterr().out


def test_an_unknown_setting_ends_the_benchmark():
    with pytest.raises(
        SystemExit, match="rounds=3 is unknown; expected key=value with sizes, json"
    ):
        parse(["rounds=3"], None, ("sizes",))
