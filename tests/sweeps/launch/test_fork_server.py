"""Workers that are forked from one process, real ones of the operating system."""

import os
import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweeps.launch import fork_server, worker_process
from sweeps.launch.fork_server import ForkServer, server_for
from sweeps.launch.worker_process import WorkerProcess
from sweeps.plan.machine import Slot
from sweeps.spec.launcher import LauncherSpec
from sweeps.training import prepare_workers
from tests.support.pool_runs import behave, fork_fakes, run_pool, statuses
from tests.support.sweep_fixtures import grid, make_sweep

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux")


class Forks:
    """A server whose workers run some code, and what it forked."""

    def __init__(self, stack: ExitStack, log: Path, code: str) -> None:
        begin = (
            "import os, sys, numpy.random; from sweeps.launch.fork_server import become_worker\n"
        )
        code = f"{begin}if become_worker():\n    {code}"
        self.server = ForkServer([sys.executable, "-c", code], {**ENVIRONMENT, "OLD": "1"})
        self.log, self._stack = log, stack
        stack.callback(self.server._process.wait, 20)
        stack.callback(self.server.close)

    def __call__(self, **environment: str) -> fork_server.ForkedProcess:
        with self.log.open("ab") as stream:
            process = self.server.fork({**ENVIRONMENT, **environment}, stream.fileno())
        assert process is not None
        self._stack.enter_context(process.stdin)
        self._stack.enter_context(process.stdout)
        return process


@pytest.fixture
def server_of(tmp_path):
    with ExitStack() as stack:
        yield partial(Forks, stack, tmp_path / "log")


@pytest.fixture
def fakes(monkeypatch):
    fork_fakes(monkeypatch.setattr)
    yield
    fork_server.close_servers()


@pytest.mark.parametrize(
    ("code", "status"),
    [("sys.exit(7)", 7), ("pass", 0), ("os.kill(os.getpid(), 9)", -9), ("os.abort()", -6)],
)
def test_how_a_worker_ended_is_told_as_of_any_process(server_of, code, status):
    server = server_of(code)
    process = server()
    assert process.wait(20) == status
    assert process.poll() == status
    process.send_signal(signal.SIGTERM)  # to nobody else that has its pid by now


def test_a_worker_has_the_streams_environment_and_directory_of_its_request(
    server_of, tmp_path, monkeypatch
):
    server = server_of(
        "print(sys.stdin.readline(), os.environ['X'], 'OLD' in os.environ, os.getcwd(), "
        "os.getsid(0) == os.getpid(), flush=True); sys.stderr.write('a word')"
    )
    monkeypatch.chdir(tmp_path)
    process = server(X="1")
    process.stdin.write("asked\n")
    process.stdin.flush()
    assert process.stdout.read() == f"asked\n 1 False {tmp_path} True\n"
    assert process.wait(20) == 0
    assert (tmp_path / "log").read_text() == "a word"


def test_what_a_worker_leaves_for_its_end_is_done_and_no_two_draw_alike(server_of):
    """Exit handlers, of W&B for one, run; numpy's global state is not the server's copy."""
    server = server_of("import atexit; atexit.register(print, 'ended'); print(numpy.random.rand())")
    said = [server().stdout.read().split() for _ in range(2)]
    assert [words[1] for words in said] == ["ended", "ended"]
    assert said[0][0] != said[1][0]


def test_a_stop_that_comes_at_birth_waits_for_its_handler(server_of):
    server = server_of(
        "import time; time.sleep(.3); from train.engine.signals import answer_at_once;"
        "answer_at_once(); time.sleep(60)"
    )
    process = server()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143


def test_signals_of_a_batch_system_leave_the_server_alive(server_of):
    server = server_of("pass")
    assert server().wait(20) == 0
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(server.server._process.pid, number)
    assert server().wait(20) == 0
    server.server._channel.close()  # as the end of the launcher does
    assert server.server._process.wait(20) == 0


def test_a_server_that_is_killed_takes_no_worker_with_it_and_is_replaced(tmp_path, fakes):
    worker = WorkerProcess(Slot(0, None, (), 1), worker_process.WORKER, tmp_path / "log")
    assert worker.ready()
    first = fork_server._servers[0]
    first._process.kill()
    first._process.wait()
    dirs = make_sweep(tmp_path)
    assert worker.ask(dirs[0])["status"] == "finished"
    run_pool(dirs[1:], tmp_path, n_workers=1)
    assert fork_server._servers[0] is not first
    worker.retire()
    assert worker.ending().startswith("ended unseen")
    assert statuses(dirs) == ["finished"] * 4


FORBIDDEN = """
import os, sys
from sweeps.launch.fork_server import become_worker
def pidfd_open(pid):
    raise OSError("no such call")
os.pidfd_open = pidfd_open
if become_worker():
    open(sys.argv[1], "w").close()
"""


@pytest.mark.parametrize("code", ["1/0", FORBIDDEN])
def test_a_server_that_dies_while_it_is_asked_is_done_without(tmp_path, fakes, monkeypatch, code):
    orphan = tmp_path / "orphan"
    command = [sys.executable, "-c", code, str(orphan)]
    monkeypatch.setattr("sweeps.launch.worker_process.FORKS", command)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    dirs = make_sweep(tmp_path)
    run_pool(dirs, tmp_path)
    assert not orphan.exists()
    assert statuses(dirs) == ["finished"] * 4
    assert all(parent(path) == os.getpid() for path in dirs)


def test_an_environment_that_fits_in_no_message_is_done_without(tmp_path, fakes, monkeypatch):
    for number in range(40):
        monkeypatch.setenv(f"LONG_{number}", "x" * 20_000)
    dirs = make_sweep(tmp_path)
    run_pool(dirs, tmp_path)
    assert statuses(dirs) == ["finished"] * 4
    assert all(parent(path) == os.getpid() for path in dirs)


def test_another_environment_has_another_server_but_for_what_trackers_note_there(tmp_path, fakes):
    forks = worker_process.FORKS
    first = server_for(forks, ENVIRONMENT)
    assert server_for(forks, {**ENVIRONMENT, "WANDB_MODE": "offline"}) is first
    second = server_for(forks, {**ENVIRONMENT, "OMP_NUM_THREADS": "3"})
    assert second is not first
    assert first is not None
    assert first._process.poll() is not None


def test_a_pool_leaves_no_descriptor_open_and_its_workers_have_no_others(tmp_path, fakes):
    dirs = make_sweep(tmp_path, iso=grid(d_models=[8, 16, 24, 32]))
    for path in dirs:
        behave(path, "open")
    run_pool(dirs[:2], tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    run_pool(dirs[2:], tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
    seen = [(path / "open").read_text().split() for path in dirs]
    assert all(fds == seen[0] for fds in seen), seen
    assert {parent(path) for path in dirs} == {fork_server._servers[0]._process.pid}


def test_a_launch_has_imports_begin_before_its_plan_where_its_sweep_is_new(
    tmp_path, fakes, monkeypatch
):
    config = SimpleNamespace(root=tmp_path, launcher=LauncherSpec())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    prepare_workers(config)
    server = fork_server._servers[0]
    prepare_workers(config)
    assert fork_server._servers == [server]
    server.close()
    (tmp_path / "plan.jsonl").touch()
    prepare_workers(config)
    assert fork_server._servers == [server]


def parent(run_dir: Path) -> int:
    """The pid that is noted of the process that started a run's worker."""
    return int((run_dir / "parent").read_text())
