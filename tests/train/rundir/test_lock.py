import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from train.rundir import lock as claims
from train.rundir.atomic import RecordError
from train.rundir.lock import Claimed, claim, holder, is_alive
from train.rundir.record import RunPaths


def test_a_claim_is_exclusive_and_released(tmp_path: Path):
    with claim(tmp_path) as mine:
        assert mine.pid == os.getpid()
        with pytest.raises(Claimed, match=f"pid {os.getpid()}"), claim(tmp_path):
            pass
    assert holder(tmp_path) is None
    with claim(tmp_path):
        pass


def test_a_lock_says_whose_it_is_and_of_which_clusters_job(tmp_path: Path, monkeypatch):
    """Without these a job of another user or cluster would be asked about as one of ours."""
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "here")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with claim(tmp_path) as mine:
        written = json.loads(RunPaths(tmp_path).lock.read_text())
    assert (mine.job, mine.cluster, mine.user) == ("17", "here", claims.user_name())
    assert written == asdict(mine)


def test_a_dead_holder_is_replaced(tmp_path: Path):
    code = (
        "import os; from pathlib import Path; from train.rundir.lock import claim\n"
        f"with claim(Path({str(tmp_path)!r})): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    left = holder(tmp_path)
    assert left is not None
    assert not is_alive(tmp_path, left)
    with claim(tmp_path) as mine:
        assert holder(tmp_path) == mine


def test_a_reused_pid_is_not_the_holder(tmp_path: Path):
    with claim(tmp_path) as mine:
        impostor = replace(mine, started="ticks-0")
        assert is_alive(tmp_path, mine)
        assert not is_alive(tmp_path, impostor)


@pytest.mark.parametrize("content", ["", "garbage", "{}"])
def test_an_unreadable_lock_is_taken_over_once_silent(content, tmp_path: Path, monkeypatch):
    RunPaths(tmp_path).lock.write_text(content)
    with pytest.raises(Claimed), claim(tmp_path):
        pass
    monkeypatch.setattr(claims, "REMOTE_TIMEOUT_SECONDS", -1.0)
    with claim(tmp_path):
        pass


def test_a_holder_on_another_host_lives_by_its_heartbeat(tmp_path: Path):
    with claim(tmp_path) as mine:
        remote = replace(mine, host="elsewhere")
    lock = RunPaths(tmp_path).lock
    lock.write_text(json.dumps(asdict(remote)))
    assert is_alive(tmp_path, remote)
    past = time.time() - claims.REMOTE_TIMEOUT_SECONDS - 60
    os.utime(lock, (past, past))
    assert not is_alive(tmp_path, remote)


def test_a_lock_created_since_it_was_seen_missing_is_left_alone(tmp_path: Path, monkeypatch):
    """The holder went between the failed attempt and the look; a newcomer came after the look."""
    first = claim(tmp_path)
    first.__enter__()
    real, newcomers = claims.holder, []

    def look(run_dir):
        if newcomers:
            return real(run_dir)
        monkeypatch.setattr(claims, "holder", real)
        RunPaths(run_dir).lock.unlink()
        newcomers.append(claim(run_dir))
        newcomers[0].__enter__()

    monkeypatch.setattr(claims, "holder", look)
    with pytest.raises(Claimed, match="claimed by another process just now"), claim(tmp_path):
        pass
    newcomers[0].__exit__(None, None, None)
    first.__exit__(None, None, None)
    assert holder(tmp_path) is None


def test_a_full_disk_does_not_keep_a_run_held(tmp_path: Path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with claim(tmp_path):
        monkeypatch.setattr(claims, "_mutex", full)
    assert holder(tmp_path) is None


def test_a_disk_too_full_to_replace_a_dead_holder_is_one_clear_error(tmp_path: Path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    dead = replace(claims.this_process("t"), started="ticks-0")
    RunPaths(tmp_path).lock.write_text(json.dumps(asdict(dead)))
    monkeypatch.setattr(claims, "_mutex", full)
    with pytest.raises(RecordError, match=r"can't claim .*: No space left on device"):
        claim(tmp_path).__enter__()


def test_many_contenders_never_hold_it_together(tmp_path: Path):
    inside, worst, wins = [], [], []

    def contend():
        for _ in range(20):
            try:
                with claim(tmp_path):
                    inside.append(1)
                    worst.append(len(inside))
                    wins.append(1)
                    time.sleep(0.001)
                    inside.pop()
            except Claimed:
                time.sleep(0.001)

    threads = [threading.Thread(target=contend) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(worst) == 1
    assert len(wins) > 1


def test_a_lock_of_an_earlier_release_is_read_as_it_was_and_of_a_later_one_too(tmp_path: Path):
    mine = claims.this_process("t")
    old = {name: value for name, value in asdict(mine).items() if name not in ("boot", "namespace")}
    RunPaths(tmp_path).lock.write_text(json.dumps(old))
    held = holder(tmp_path)
    assert held is not None
    assert is_alive(tmp_path, held)
    assert not is_alive(tmp_path, replace(held, started="ticks-0"))
    RunPaths(tmp_path).lock.write_text(json.dumps(asdict(mine) | {"colour": "later"}))
    assert holder(tmp_path) == mine


@pytest.mark.parametrize("name", ["boot", "namespace"])
def test_another_container_or_machine_of_this_name_is_another_host(name, tmp_path: Path):
    """Its pid is of no process here, or of one that has nothing to do with it."""
    other = replace(claims.this_process("t"), started="ticks-0", **{name: "another"})
    lock = RunPaths(tmp_path).lock
    lock.write_text(json.dumps(asdict(other)))
    assert not claims.is_visible(other)
    with pytest.raises(Claimed), claim(tmp_path):
        pass
    past = time.time() - claims.REMOTE_TIMEOUT_SECONDS - 60
    os.utime(lock, (past, past))
    with claim(tmp_path):
        pass


UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc"]


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*UNSHARE, "true"], check=False).returncode != 0,
    reason="no right to create a pid namespace",
)
def test_two_containers_of_one_host_name_do_not_train_a_run_together(tmp_path: Path):
    """Each is pid 1 of its own namespace, started at another time."""
    code = (
        "import os, sys, time; from pathlib import Path\n"
        "from train.rundir.lock import Claimed, claim\n"
        "try:\n"
        f" with claim(Path({str(tmp_path)!r})): print('held', os.getpid(), flush=True); input()\n"
        "except Claimed as error: print('refused', error, flush=True)"
    )
    command = [*UNSHARE, sys.executable, "-c", code]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "held 1\n"
    time.sleep(0.05)  # another start time than the first one's
    second = subprocess.run(command, input="\n", capture_output=True, text=True, check=True)
    first.communicate("\n")
    assert second.stdout.startswith("refused")


@pytest.mark.parametrize("change", [{"pid": "1"}, {"host": ["a"]}, {"started": None}, {"job": 5}])
def test_a_lock_with_odd_fields_is_as_good_as_unreadable(change, tmp_path: Path):
    content = asdict(claims.this_process("t")) | change
    RunPaths(tmp_path).lock.write_text(json.dumps(content))
    held = holder(tmp_path)
    assert held is not None
    assert held.token == "unreadable"
    assert is_alive(tmp_path, held)


def test_a_file_system_that_fails_for_a_moment_does_not_stop_the_heart(tmp_path: Path, monkeypatch):
    beats: list[bool] = []

    def utime(*_):
        beats.append(True)
        if len(beats) == 1:
            raise OSError(116, "Stale file handle")

    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(claims.os, "utime", utime)
    with claim(tmp_path):
        end = time.monotonic() + 20
        while len(beats) < 3:
            assert time.monotonic() < end
            time.sleep(0.01)
