"""The status of a whole sweep."""

import json
from io import StringIO
from itertools import islice

import pytest
from rich.console import Console

from sweeps.directory.disk import Room
from sweeps.launch.launch import failures, print_failures
from sweeps.launch.progress import display
from sweeps.launch.scheduler import QueuedRun
from sweeps.manage import status
from sweeps.manage.status import read_sweep, show_status, status_json, status_table
from sweeps.plan.plan import duration
from tests.support.sweep_fixtures import grid, make_sweep
from train.commands.console import DataConsole
from train.commands.terminal import visible
from train.rundir.lock import claim
from train.rundir.record import append_status


def predict(root, seconds):
    rows = [{"status": "planned", "run_id": k, "predicted_seconds": v} for k, v in seconds.items()]
    (root / "plan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def text(root):
    console = DataConsole(width=120, file=StringIO())
    console.print(status_table(read_sweep(root)))
    return console.file.getvalue()


def test_counts_and_json_cover_every_run(tmp_path):
    dirs = make_sweep(tmp_path, n_done=2)
    append_status(dirs[2], "failed", message="a [bold] reason")
    content = json.loads(json.dumps(status_json(read_sweep(tmp_path))))
    assert content["counts"] == {"planned": 1, "finished": 2, "failed": 1}
    assert (content["n_done"], content["n_runs"]) == (2, 4)
    assert content["runs"][2]["note"] == "a [bold] reason"


def test_the_time_left_is_the_prediction_scaled_by_what_finished_runs_took(tmp_path):
    dirs = make_sweep(tmp_path, n_done=1)
    ids = [path.name[-12:] for path in dirs]
    predict(tmp_path, dict.fromkeys(ids, 6.0))
    assert read_sweep(tmp_path).seconds_left is None
    with claim(dirs[1]):
        assert read_sweep(tmp_path).seconds_left == 3 * 6.0 * (3.0 / 6.0) / 1


def test_a_small_sweep_is_shown_whole_and_a_large_one_by_what_needs_a_look(tmp_path):
    make_sweep(tmp_path / "small")
    assert text(tmp_path / "small").count("planned") == 5
    dirs = make_sweep(tmp_path / "large", iso=grid(seeds=list(range(20))))
    append_status(dirs[3], "oom", message="too big")
    shown = text(tmp_path / "large")
    assert "too big" in shown
    assert "79 more runs" in shown


def test_watching_ends_when_all_is_done(tmp_path, capsys):
    make_sweep(tmp_path, n_done=4)
    show_status(tmp_path, Console(), as_json=True, watch=True)
    assert json.loads(capsys.readouterr().out)["n_done"] == 4


def test_runs_of_no_plan_are_shown_as_such_and_do_not_count(tmp_path, capsys):
    """A grid edited under one name leaves the former grid's runs behind."""
    dirs = make_sweep(tmp_path, n_done=2)
    predict(tmp_path, {path.name[-12:]: 1.0 for path in dirs[:2]})
    state = read_sweep(tmp_path)
    assert (state.n_done, len(state.runs), len(state.unplanned)) == (2, 2, 2)
    shown = text(tmp_path)
    assert "2 of 2 runs done (2 finished)" in shown
    assert "2 more runs are in no plan (2 planned)" in shown
    assert dirs[3].name[-12:] in json.dumps(status_json(state)["unplanned"])
    show_status(tmp_path, Console(), as_json=True, watch=True)
    assert json.loads(capsys.readouterr().out)["n_unplanned"] == 2


def test_what_is_still_to_be_written_is_compared_with_what_is_free(tmp_path):
    dirs = make_sweep(tmp_path, n_done=1)
    rows = [
        {"status": "planned", "run_id": path.name[-12:], "checkpoint_bytes": 2e9} for path in dirs
    ]
    (tmp_path / "plan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def shown(n_bytes):
        console = Console(width=140, file=StringIO())
        console.print(status_table(read_sweep(tmp_path, None, Room(n_bytes, "free in /x"))))
        return console.file.getvalue()

    assert "disk: about 6 GB of checkpoints still to be written, 8 GB free in /x\n" in shown(8e9)
    assert "5 GB free in /x: too little" in shown(5e9)
    assert status_json(read_sweep(tmp_path))["bytes_left"] == 6e9


def test_status_asks_what_is_free_and_prints_it(tmp_path, monkeypatch, capsys):
    dirs = make_sweep(tmp_path)
    row = {"status": "planned", "run_id": dirs[0].name[-12:], "checkpoint_bytes": 2e9}
    (tmp_path / "plan.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.setattr(status, "room", lambda root: Room(1e9, f"free in {root}"))
    show_status(tmp_path, DataConsole(), as_json=True, watch=False)
    content = json.loads(capsys.readouterr().out)
    assert (content["bytes_left"], content["bytes_free"]) == (2e9, 1e9)


def test_watching_asks_the_batch_system_less_often_than_it_looks(tmp_path, monkeypatch):
    make_sweep(tmp_path, n_done=1)
    clock = [0.0]
    monkeypatch.setattr(status.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(status.time, "sleep", lambda seconds: clock.append(clock.pop() + seconds))
    asked: list[float] = []
    looks = status._states(tmp_path, watch=True, jobs=lambda: asked.append(clock[0]))
    assert len(list(islice(looks, 16))) == 16
    assert asked == [0.0, 20.0]


@pytest.mark.parametrize("odd", ["soon", [1], {"a": 1}, 10**400, float("nan"), True, None])
def test_odd_rows_of_the_plan_and_of_metrics_do_not_end_status(tmp_path, odd):
    dirs = make_sweep(tmp_path, n_done=1)
    predict(tmp_path, {path.name[-12:]: odd if path is dirs[1] else 6.0 for path in dirs})
    with (tmp_path / "plan.jsonl").open("a") as file:
        file.write('[1]\n"x"\n' + "[" * 100_000 + "\n" + '{"predicted_seconds": 1}\n')
    with claim(dirs[1]):
        row = dict.fromkeys(("n_tokens", "loss", "tokens_per_second"), odd)
        (dirs[1] / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        state = read_sweep(tmp_path)
        assert state.seconds_left == 2 * 6.0 * (3.0 / 6.0) / 1
        assert "running" in text(tmp_path)
        json.dumps(status_json(state), allow_nan=False)


NASTY = (
    "[/root/gloo/pair.cc:589] timed out [bold]",
    "[/]",
    "\x1b[2J\x1b]0;owned\x07 cleared",
    "\u202eesrever \x9b31m",
    "half of a pair \ud800",
    ":smile: {task.description} {0} %s",
)


@pytest.mark.parametrize("message", NASTY)
@pytest.mark.parametrize("terminal", [True, False])
def test_names_and_messages_are_shown_as_they_are_and_never_sent(tmp_path, message, terminal):
    dirs = make_sweep(tmp_path)
    append_status(dirs[0], "failed", message=message)
    spec = json.loads((dirs[1] / "spec.json").read_text())
    (dirs[1] / "spec.json").write_text(json.dumps(spec | {"name": message}))
    (dirs[2] / "lock").write_text(
        json.dumps({"host": message, "pid": 1, "started": "", "job": message, "token": "x"})
    )
    console = DataConsole(
        width=200, file=StringIO(), force_terminal=terminal, color_system=None, legacy_windows=False
    )
    console.print(status_table(read_sweep(tmp_path)))
    print_failures(failures(dirs), console)
    with display(console, 4, 0) as report:
        report(QueuedRun(dirs[0]), "running", "")
        report(QueuedRun(dirs[0]), "failed", message)
    shown = console.file.getvalue()
    shown.encode()
    assert visible(message) in " ".join(shown.split())
    for harmful in ("\x1b[2J", "\x1b]0", "\x07", "\u202e", "\x9b"):
        assert harmful not in shown


def test_duration_is_said_as_people_say_it():
    assert duration(4.25) == "4.2 s"
    assert duration(200) == "3 min 20 s"
    assert duration(7500) == "2 h 05 min"
    assert duration(3 * 86400 + 4 * 3600) == "3 d 4 h"
