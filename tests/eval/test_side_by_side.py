"""A sweep's checkpoints evaluated in processes side by side: answers, failures, kills."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from eval import side_by_side
from eval.__main__ import EvalConfig, main
from eval.evaluate import run_targets
from eval.tasks.eval_set import generated_set
from eval.tasks.generated import TaskError, TaskSpec
from tests.support.tiny_checkpoint import save_run
from train.rundir.record import RunPaths

OPTIONS = {"task": "addition", "digits": 2, "format": "plain", "seed": 3, "n_items": 1000}


def test_side_by_side_gives_the_same_answers_and_names_what_failed(tmp_path, capsys) -> None:
    asked = {"n_items": 60, "n_seen": 30, "n_by_length": 20}
    tables = []
    for workers in (1, 2):
        root = tmp_path / str(workers)
        for name, seed in (("a", 0), ("b", 1), ("c", 2)):
            save_run(root / "runs" / name, OPTIONS, seed=seed)
        (RunPaths(root / "runs" / "c").checkpoint / "model.safetensors").write_bytes(b"torn")
        assert main(EvalConfig(target=str(root), workers=workers, **asked), []) == 1
        printed = capsys.readouterr()
        assert "2 checkpoints evaluated" in printed.out
        assert f"failed: 1 ({RunPaths(root / 'runs' / 'c').checkpoint})" in printed.err
        tables.append(pq.read_table(root / "evals.parquet").to_pylist())
    assert len(tables[0]) > 10 and tables[0] == tables[1]


def killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_an_error_that_says_what_to_do(tmp_path, monkeypatch) -> None:
    for name in "ab":
        save_run(tmp_path / "runs" / name, OPTIONS)
    # What a process is asked to do ends it, as the system does that has no memory left.
    monkeypatch.setattr(side_by_side.worker, "answer", killed)
    with pytest.raises(TaskError, match=r"a process that evaluates ended .* run again"):
        main(EvalConfig(target=str(tmp_path), n_items=20, workers=2), [])


def test_no_process_outlives_one_that_was_killed(tmp_path) -> None:
    """Each waits for what the first one asks, and nobody is left who could ask."""
    program = (
        "from multiprocessing import active_children, get_context\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "import os\n"
        "from eval.worker import begin\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPoolExecutor(1, get_context('spawn'), begin, (1,))\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    (tmp_path / "first.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    first = subprocess.run(
        [sys.executable, str(tmp_path / "first.py")], stdout=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    assert first.returncode == -signal.SIGKILL
    other, deadline = int(first.stdout), time.monotonic() + 60
    while Path(f"/proc/{other}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{other}").exists()


def test_small_checkpoints_share_the_cores_where_there_is_enough_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(side_by_side, "usable_cores", lambda: 4)
    save_run(tmp_path / "runs" / "a", OPTIONS)
    sets = [generated_set(TaskSpec("addition", digits=2, format="plain"), 100)]
    planned = [(target, sets) for target in run_targets(tmp_path / "runs" / "a")] * 3
    config = EvalConfig(target=str(tmp_path))

    def workers(has_gpu=False, **changes):
        return side_by_side.n_workers(dataclasses.replace(config, **changes), planned, has_gpu)

    assert workers() == 1  # 300 items are answered sooner
    monkeypatch.setattr(side_by_side, "FEW_ITEMS", 200)
    assert (workers(), workers(threads=2), workers(workers=9)) == (3, 2, 3)
    assert workers(has_gpu=True) == 1
    monkeypatch.setattr(side_by_side, "SMALL_BYTES", 10)
    assert (workers(), workers(workers=2)) == (1, 2)
