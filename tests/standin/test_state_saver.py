"""States that are written while the run goes on."""

from pathlib import Path

import pytest

from tests.standin.apart import on_standin
from train.engine.checkpoint import CheckpointError, TrainerState


def trained_once():
    """A model on the device and its optimiser, after a step."""
    import torch

    model = torch.nn.Linear(3, 2).to("standin")
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    step(model, optimizer)
    return model, optimizer


def step(model, optimizer):
    import torch

    model(torch.ones(1, 3).to("standin")).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def same(model, weights) -> bool:
    """Whether all parameters are these."""
    pairs = zip(model.parameters(), weights, strict=True)
    return all((parameter.detach().cpu() == weight).all() for parameter, weight in pairs)


def state(number: int) -> TrainerState:
    return TrainerState("run", 0, {"step": number})


@on_standin
def test_a_state_holds_the_weights_of_its_step_though_training_goes_on(tmp_path):
    """The writer waits until more steps were made; a second state waits for the first."""
    import threading

    from train.engine import state_saver
    from train.engine.checkpoint import load_state

    go_on = threading.Event()
    write, order = state_saver.write_state, []

    def late(*arguments):
        assert go_on.wait(100)
        order.append("written")
        write(*arguments)

    state_saver.write_state = late
    model, optimizer = trained_once()
    saver = state_saver.StateSaver(model, optimizer)
    try:
        saver.save(tmp_path, state(1))
        saved = [p.detach().cpu().clone() for p in model.parameters()]
        step(model, optimizer)
        threading.Timer(0.05, lambda: (order.append("let go"), go_on.set())).start()
        saver.save(tmp_path, state(2))
        assert order[:2] == ["let go", "written"]
    finally:
        go_on.set()
        saver.close()
        state_saver.write_state = write
    fresh, its_optimizer = trained_once()
    loaded = load_state(tmp_path, "run", fresh, its_optimizer, at_most=1)
    assert loaded == state(1)
    assert same(fresh, saved)
    assert load_state(tmp_path, "run", fresh, its_optimizer) == state(2)
    assert not same(fresh, saved)


@on_standin
def test_a_state_that_can_not_be_written_is_an_error_of_the_next_call(tmp_path):
    from train.engine.state_saver import StateSaver

    (tmp_path / "states").write_text("a file where the directory should be")
    saver = StateSaver(*trained_once())
    saver.save(tmp_path / "states", state(1))
    with pytest.raises(CheckpointError, match="can't write checkpoint"):
        saver.wait()
    saver.wait()  # it is said once
    saver.save(tmp_path / "states", state(2))
    saver.close()  # on the way out of an error of another kind, which it must not hide


@on_standin
def test_a_state_costs_a_run_one_wait(tmp_path, tiny_job):
    """For the losses that are not logged yet; 40 states of 40 steps."""
    from tests.standin import device
    from tests.standin.test_whole_runs import trained

    waits = {}
    for name, seconds in (("seldom", 1000.0), ("always", 1e-9)):
        device.clear()
        how = {"device": "auto", "log_every": 1000, "n_evals": 1, "save_every_seconds": seconds}
        trained(tmp_path / name, tiny_job, **how)
        waits[name] = sum(device.counts("wait").values())
    assert 30 <= waits["always"] - waits["seldom"] <= 40


KILLED = """
import os, signal, sys, threading
from pathlib import Path
from tests.standin import device
device.load()
from train.engine import checkpoint
from train.run import train_run

real, written = checkpoint.save_file, []

def killing(tensors, path):
    real(tensors, path)
    written.append(path)
    if len(written) == int(sys.argv[2]):
        by_thread = threading.current_thread().name.startswith("states")
        os.kill(os.getpid(), signal.SIGKILL) if by_thread else os._exit(3)

checkpoint.save_file = killing
train_run(Path(sys.argv[1]))
"""
"""A run whose process is killed by its writer, once so many of its states' files are written."""


@pytest.mark.slow
@pytest.mark.parametrize("n_files", [1, 8, 9])
@on_standin
def test_killed_while_a_state_is_written_it_goes_on_to_the_same_bits(tmp_path, tiny_job, n_files):
    """In the first state's first file; in the third's second; when all of it is there, unnamed."""
    import os
    import signal
    import subprocess
    import sys
    from dataclasses import replace

    from tests.standin.test_whole_runs import trained
    from tests.support.runs import metrics, weights
    from train.rundir.record import RunPaths, write_job

    runtime = replace(tiny_job.runtime, device="auto", save_every_seconds=1e-9)
    job = replace(tiny_job, runtime=runtime)
    run_dir = tmp_path / "run"
    write_job(run_dir, job)
    root = str(Path(__file__).parents[2])
    died = subprocess.run(
        [sys.executable, "-P", "-c", KILLED, str(run_dir), str(n_files)],
        env={**os.environ, "PYTHONPATH": root},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    whole = [path.name for path in RunPaths(run_dir).state.glob("step-*")]
    assert len(whole) == (0 if n_files == 1 else 2)  # none of the states being written has its name
    trained(run_dir, job)
    trained(tmp_path / "whole", job)
    assert weights(run_dir) == weights(tmp_path / "whole")
    assert metrics(run_dir) == metrics(tmp_path / "whole")
