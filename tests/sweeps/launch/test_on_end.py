"""The user's command at the end of a launch."""

import pytest

from sweeps.launch import on_end
from sweeps.launch.on_end import run_on_end
from sweeps.spec.launcher import LauncherSpec
from tests.support.sweep_fixtures import make_sweep
from train.config.spec import SpecError
from train.rundir.record import append_status


def told(tmp_path, run_dirs, why=""):
    """The variables that the command saw."""
    command = f"""sh -c 'env | grep ^ISOFLOP_ > "{tmp_path}/told"'"""
    assert run_on_end(command, "my sweep", tmp_path, run_dirs, why) == ""
    lines = (tmp_path / "told").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_the_command_is_told_how_the_sweep_ended(tmp_path):
    dirs = make_sweep(tmp_path, n_done=4)
    seen = told(tmp_path, dirs)
    assert seen["ISOFLOP_STATUS"] == "finished"
    assert seen["ISOFLOP_SWEEP"] == "my sweep"
    assert seen["ISOFLOP_ROOT"] == str(tmp_path)
    assert seen["ISOFLOP_MESSAGE"] == "my sweep: 4 of 4 runs done (4 finished)"


def test_failures_and_early_ends_are_told_with_their_reason(tmp_path):
    dirs = make_sweep(tmp_path, n_done=3)
    append_status(dirs[3], "failed", message="$(touch pwned) `id`")
    seen = told(tmp_path, dirs)
    assert (seen["ISOFLOP_STATUS"], seen["ISOFLOP_N_FAILED"]) == ("failed", "1")
    assert seen["ISOFLOP_MESSAGE"].endswith("$(touch pwned) `id`")
    assert told(tmp_path, dirs, "interrupted")["ISOFLOP_STATUS"] == "stopped"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no_such_command_here", "No such file"),
        ("sh -c 'echo no server >&2; exit 3'", "status 3: no server"),
        ("sleep 60", "timed out"),
    ],
)
def test_a_command_that_fails_is_said_and_ends_nothing(tmp_path, monkeypatch, command, message):
    monkeypatch.setattr(on_end, "END_SECONDS", 0.5)
    assert message in run_on_end(command, "s", tmp_path, make_sweep(tmp_path, n_done=4))


def test_none_is_run_where_none_is_asked_for(tmp_path):
    assert run_on_end(None, "s", tmp_path, []) == ""


@pytest.mark.parametrize(
    "command", ["", "mail 'open", "a\nb", "curl -H hf_abcdefghijklmnopqrstuvw"]
)
def test_no_command_or_a_secret_in_it_is_refused(command):
    with pytest.raises(SpecError, match=r"launcher\.on_end"):
        LauncherSpec(on_end=command)
