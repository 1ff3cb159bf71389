"""The machine's table in the cache: measured once, and nothing but a default where that fails."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.support.speed_tables import FAST_MKL, SLOW_MKL
from train.config.spec import IsoflopError
from train.speed import machine
from train.speed.machine import known_table, measured_table, processor, table_path, with_compiled

CHILD = """
import json, sys
from pathlib import Path
calls = Path(sys.argv[1])
calls.write_text(calls.read_text() + sys.stdin.read() + "\\n")
print(Path(sys.argv[2]).read_text())
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A stand-in for the measuring process: (its command, a function that lists its requests)."""
    monkeypatch.setenv("ISOFLOP_SPEED", "measured")
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "calls").write_text("")
    (tmp_path / "table.json").write_text(json.dumps(asdict(SLOW_MKL)))
    command = [sys.executable, "-c", CHILD, str(tmp_path / "calls"), str(tmp_path / "table.json")]

    def requests() -> list[dict]:
        return [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]

    return command, requests


def test_a_machine_is_measured_once(child):
    command, requests = child
    assert known_table(1) is None
    assert measured_table(1, command) == SLOW_MKL
    assert measured_table(1, command) == known_table(1) == SLOW_MKL
    assert requests() == [{"compiled": None, "table": None}]
    assert measured_table(2, command) == SLOW_MKL  # another number of threads, another table
    assert len(requests()) == 2


def test_two_processes_at_once_measure_once(child, tmp_path):
    command, requests = child
    code = "import sys; from train.speed.machine import measured_table as m; m(1, sys.argv[1:])"
    both = [subprocess.Popen([sys.executable, "-c", code, *command]) for _ in range(2)]
    assert [one.wait(120) for one in both] == [0, 0]
    assert len(requests()) == 1


def test_another_torch_or_processor_is_measured_for_itself(child, tmp_path, monkeypatch):
    before = table_path(1)
    monkeypatch.setattr(machine, "version", lambda name: "99.0")
    assert table_path(1) != before
    monkeypatch.undo()
    listed = {}
    for name, stepping in (("a", 1), ("b", 2)):
        cpuinfo = tmp_path / name
        cpuinfo.write_text(f"model name\t: Any CPU\nstepping\t: {stepping}\nflags\t: fpu\n\nmodel")
        listed[name] = processor.__wrapped__(cpuinfo)
    assert listed["a"][0] == listed["b"][0] == "Any CPU"
    assert listed["a"] != listed["b"]  # two machines that call themselves alike


def test_compiling_is_tried_once_a_width_and_precision(child, tmp_path):
    command, requests = child
    measured_table(1, command)
    found = with_compiled(1, 250, "fp32", command)  # known from the first measurement: 256
    assert found == SLOW_MKL
    (tmp_path / "table.json").write_text(json.dumps(asdict(FAST_MKL)))
    assert with_compiled(1, 60, "fp32", command) == FAST_MKL
    assert with_compiled(1, 60, "fp32", command) == known_table(1) == FAST_MKL
    assert [one["compiled"] for one in requests()] == [None, [64, "fp32"]]


@pytest.mark.parametrize("code", ["raise SystemExit('no torch')", "print('nonsense')", "print(3)"])
def test_where_measuring_fails_there_is_no_table_and_no_error(child, code):
    assert measured_table(1, [sys.executable, "-c", code]) is None
    assert measured_table(1, ["/no/such/program"]) is None


def test_a_damaged_table_is_measured_again(child):
    command, requests = child
    measured_table(1, command)
    for damaged in ("", "{", '{"products": 3}', '{"steps": [{"d_model": "x"}]}'):
        table_path(1).write_text(damaged)
        assert measured_table(1, command) == SLOW_MKL
    assert len(requests()) == 5


def test_a_cache_that_is_a_file_costs_the_measurement_alone(child, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "file"))
    assert measured_table(1, child[0]) is None


def test_measuring_can_be_ruled_out(child, monkeypatch):
    command, _ = child
    measured_table(1, command)
    monkeypatch.setenv("ISOFLOP_SPEED", "library")
    assert known_table(1) is measured_table(1, command) is with_compiled(1, 64, "fp32") is None
    monkeypatch.setenv("ISOFLOP_SPEED", "quick")
    with pytest.raises(IsoflopError, match="expected measured or library"):
        known_table(1)
