import sys
from types import SimpleNamespace

import pytest

from analysis.figures.figure_spec import FigureSpec
from analysis.figures.style import new_figure, styled
from analysis.report.document import Part, Section, TableSpec
from analysis.report.report import Report
from analysis.report.wandb import mirror
from analysis.report.write import write_report
from train.config.run_config import TrackerSpec

KEY = "0123456789abcdef0123456789abcdef01234567"
NUMBERS = {"isoflop": {"a": 0.5, "intervals": {"a": [0.4, 0.6]}}, "n_runs": 26, "kaplan": None}


@pytest.fixture
def report():
    with styled():
        figure, (axes,) = new_figure()
        axes.plot([1, 2], [3, 4])
    table = TableSpec("N/D by budget", ["N", "95 %", "D", "95 %"], [["1", "2", "3", "4"]])
    section = Section("Fits", [], [FigureSpec("isoflop", figure, "alt", "caption")], [table])
    return Report("title", "decide", [], [], [Part("p", [section])], "the command")


class FakeRun:
    url, dir, offline = "https://wandb.example/run", ".", False

    def __init__(self, **asked):
        self.asked, self.logged, self.summary, self.codes = asked, {}, {}, []

    def log(self, values):
        self.logged |= values

    def finish(self, exit_code=0):
        self.codes.append(exit_code)


@pytest.fixture
def fake(monkeypatch):
    """Stands in for the package; the run it started is `fake.run`."""
    module = SimpleNamespace(run=None)

    def init(**asked):
        module.run = FakeRun(**asked)
        return module.run

    module.init = init
    module.Settings = dict
    module.Image = lambda path, caption: ("image", path, caption)
    module.Table = lambda columns, data: ("table", columns, data)
    module.Html = lambda text, inject: ("html", text)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_figures_tables_and_numbers_are_logged(report, fake, tmp_path):
    page = write_report(report, tmp_path)
    tracker = TrackerSpec(kind="wandb", mode="offline", project="mine", entity="me")
    assert mirror(report, NUMBERS, page, tracker) == "W&B: https://wandb.example/run"
    run = fake.run
    assert run.asked["job_type"] == "analysis"
    assert (run.asked["project"], run.asked["entity"]) == ("mine", "me")
    assert run.asked["mode"] == "offline"
    assert run.logged["figures/isoflop"] == (
        "image",
        str(tmp_path / "figures" / "isoflop.png"),
        "caption",
    )
    _, columns, data = run.logged["tables/N|D by budget"]
    assert columns == ["N", "95 % of N", "D", "95 % of D"]
    assert data == [["1", "2", "3", "4"]]
    assert run.logged["report"][1] == page.read_text()
    assert run.summary["isoflop.a"] == 0.5 and run.summary["n_runs"] == 26
    assert run.codes == [0]


def test_a_failing_service_costs_the_mirror_alone(report, fake, tmp_path, caplog):
    page = write_report(report, tmp_path)

    def refuse(values):
        raise OSError("no route to host")

    FakeRun.log, kept = (lambda self, values: refuse(values)), FakeRun.log
    try:
        assert mirror(report, NUMBERS, page, TrackerSpec(kind="wandb", mode="offline")) is None
    finally:
        FakeRun.log = kept
    assert "W&B has no copy of this report (OSError: no route to host)" in caplog.text
    assert fake.run.codes == [1]


@pytest.mark.parametrize("tracker", [TrackerSpec(), TrackerSpec(kind="wandb", mode="disabled")])
def test_no_tracker_no_run(report, fake, tmp_path, tracker):
    assert mirror(report, NUMBERS, tmp_path / "report.html", tracker) is None
    assert fake.run is None


@pytest.mark.slow
def test_offline_with_the_package_itself_and_without_the_key(report, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    page = write_report(report, tmp_path)
    said = mirror(report, NUMBERS, page, TrackerSpec(kind="wandb"))
    assert said is not None and "offline-run" in said
    files = [path for path in (tmp_path / "wandb").rglob("*") if path.is_file()]
    written = b"".join(path.read_bytes() for path in files)
    assert any(path.suffix == ".wandb" for path in files)
    assert b"isoflop" in written
    assert KEY.encode() not in written
