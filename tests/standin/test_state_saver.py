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
import os, shutil, signal, sys, threading
from pathlib import Path
from tests.standin import device
device.load()
from train.run import train_run

run_dir, copies = Path(sys.argv[1]), Path(sys.argv[2])
events, removed, copying = [], [], threading.local()
names = ("open", "os.mkdir", "os.rename", "os.chmod", "os.remove", "os.rmdir", "shutil.rmtree")

def copy(to):
    for _ in range(20):  # the training goes on, and its files may change their names meanwhile
        shutil.rmtree(to, ignore_errors=True)
        try:
            shutil.copytree(run_dir, to)
            return
        except (OSError, shutil.Error):
            pass
    os._exit(3)

def hook(name, args):
    mine = threading.current_thread().name.startswith("states")
    if not mine or name not in names or getattr(copying, "now", False):
        return
    events.append(name)
    removed.extend([name] if name == "os.remove" else [])
    if len(removed) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if len(events) % 11 == 0:
        copying.now = True
        copy(copies / f"{len(events):03d}")
        copying.now = False

sys.addaudithook(hook)
train_run(run_dir)
"""
"""A run whose directory is copied before every eleventh thing that the writer of its states does to
a file, and whose process is killed while the writer deletes the oldest of three states. A copy
holds what a kill at that moment would have left."""


@pytest.mark.slow
@on_standin
def test_killed_at_any_moment_of_a_states_writing_it_goes_on_to_the_same_bits(tmp_path, tiny_job):
    import os
    import signal
    import subprocess
    import sys
    from dataclasses import replace

    from tests.standin.test_whole_runs import trained
    from tests.support.runs import metrics, weights
    from train.engine.checkpoint import newest_step
    from train.rundir.record import RunPaths, write_job

    runtime = replace(tiny_job.runtime, device="auto", save_every_seconds=1e-9)
    job = replace(tiny_job, runtime=runtime)
    killed, copies = tmp_path / "killed", tmp_path / "copies"
    write_job(killed, job)
    died = subprocess.run(
        [sys.executable, "-P", "-c", KILLED, str(killed), str(copies)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    moments = [*sorted(copies.iterdir()), killed]
    whole = [{path.name for path in RunPaths(run_dir).state.glob("step-*")} for run_dir in moments]
    assert {len(names) for names in whole} == {0, 1, 2, 3}
    assert len(moments) >= 8
    assert any(list(RunPaths(run_dir).state.glob(".step-*")) for run_dir in moments)
    trained(tmp_path / "whole", job, save_every_seconds=1000.0)
    for run_dir, names in zip(moments, whole, strict=True):
        found = newest_step(RunPaths(run_dir).state)
        assert found == max((int(name.removeprefix("step-")) for name in names), default=None)
        trained(run_dir, job, save_every_seconds=1000.0)
        assert weights(run_dir) == weights(tmp_path / "whole")
        assert metrics(run_dir) == metrics(tmp_path / "whole")
