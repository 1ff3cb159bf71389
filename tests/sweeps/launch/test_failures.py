"""Stopping a launch whose runs all fail, in one process."""

import pytest

from sweeps.launch.failures import End, GaveUpError, Streak, reason_to_stop
from sweeps.launch.local import run_inline
from tests.support.pool_runs import behave, run_pool, statuses, tasks
from tests.support.sweep_fixtures import grid, make_sweep


def ends(*messages):
    """Ends of runs: None is one that finished."""
    return [End("failed", text) if text is not None else End("finished", "") for text in messages]


def test_so_many_failures_in_a_row_are_too_many():
    assert reason_to_stop(ends("a", "a"), 3) == ""
    assert reason_to_stop(ends("a", "a", None, "a"), 3) == ""
    assert "all with a; mend it" in reason_to_stop(ends(None, "a", "a", "a"), 3)
    assert reason_to_stop(ends(*["a"] * 50), 0) == ""


def test_the_error_that_most_share_is_named_whatever_paths_and_numbers_differ():
    said = reason_to_stop(ends("no space on /x/1 (12 MB)", "other", "no space on /y/2 (7 MB)"), 3)
    assert "2 of them with no space on /y/2 (7 MB)" in said
    assert "without a reason" in reason_to_stop(ends("", ""), 2)


def test_runs_that_were_stopped_or_too_large_say_nothing_of_the_next(tmp_path):
    streak = Streak(2)
    for status in ("failed", "preempted", "timeout", "oom"):
        assert streak.note(tmp_path, status, "x") == ""
    assert streak.note(tmp_path, "failed", "x") != ""


@pytest.fixture
def dirs(tmp_path):
    made = make_sweep(tmp_path, iso=grid(d_models=[8, 16, 24, 32]))
    for path in made:
        behave(path, "fail")
    return made


def test_a_pool_gives_up_and_leaves_the_rest_planned(tmp_path, dirs):
    with pytest.raises(GaveUpError, match=r"the last 3 runs failed .* all with as told"):
        run_pool(dirs, tmp_path, n_workers=1, ended=Streak(3).note)
    assert sorted(statuses(dirs)) == ["failed"] * 3 + ["planned"] * 5


def test_one_success_among_them_goes_on(tmp_path, dirs):
    behave(dirs[-3], "finish")
    with pytest.raises(GaveUpError):
        run_pool(dirs, tmp_path, n_workers=1, ended=Streak(4).note)
    assert sorted(statuses(dirs)) == ["failed"] * 6 + ["finished"] + ["planned"]


def test_inline_gives_up_too(tmp_path, dirs):
    with pytest.raises(GaveUpError):
        run_inline(tasks(dirs), lambda *_: None, lambda _: "failed", Streak(2).note)
