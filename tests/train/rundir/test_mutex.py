"""One process at a time, with flock and without."""

import errno
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from train.rundir import mutex
from train.rundir.lock import Claimed, claim
from train.rundir.mutex import exclusive


@pytest.fixture
def no_flock(monkeypatch):
    """A file system such as Lustre mounted without the flock option."""

    def absent(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", absent)


@pytest.mark.parametrize("error", [None, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_threads_enter_one_at_a_time(tmp_path, monkeypatch, error):
    if error is not None:

        def absent(*_):
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr("fcntl.flock", absent)
    inside, most = [0], [0]

    def enter():
        with exclusive(tmp_path / "m"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            inside[0] -= 1

    threads = [threading.Thread(target=enter) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert not (tmp_path / "m.held").exists()


def held_by(tmp_path, pid, host=None, age=0.0):
    path = tmp_path / "m.held"
    path.write_text(json.dumps({"host": host or mutex._host(), "pid": pid, "token": "t"}))
    os.utime(path, (time.time() - age, time.time() - age))


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_holder_that_died_is_replaced(tmp_path, no_flock):
    held_by(tmp_path, dead_pid())
    with exclusive(tmp_path / "m"):
        assert json.loads((tmp_path / "m.held").read_text())["pid"] == os.getpid()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


@pytest.mark.parametrize(("host", "age", "free"), [("x", 0, False), ("x", 1e4, True)])
def test_a_holder_on_another_host_counts_until_it_is_too_old(tmp_path, no_flock, host, age, free):
    held_by(tmp_path, 1, host, age)
    entered = threading.Event()

    def enter():
        with exclusive(tmp_path / "m"):
            entered.set()

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    assert entered.wait(1.0) is free
    (tmp_path / "m.held").unlink(missing_ok=True)
    thread.join()


def test_other_errors_of_flock_are_not_taken_for_a_missing_flock(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", broken)
    with pytest.raises(OSError, match="Input/output"), exclusive(tmp_path / "m"):
        pass


def test_a_run_that_died_can_be_claimed_again_without_flock(tmp_path, no_flock):
    code = "import os, sys; from pathlib import Path; from train.rundir.lock import claim; "
    code += "held = claim(Path(sys.argv[1])); held.__enter__(); os._exit(1)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert (tmp_path / "lock").exists()
    with claim(tmp_path), pytest.raises(Claimed), claim(tmp_path):
        pass
    assert not (tmp_path / "lock").exists()
