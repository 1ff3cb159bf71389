"""Liger's loss behind the same function as the loss in chunks, by a module of its interface."""

import sys
from dataclasses import replace

import pytest
import torch

from tests.support import fake_liger
from tests.train.model.test_loss import batch
from train.model.labels import IGNORED
from train.model.liger import head_loss, liger_loss
from train.model.loss import chunked_loss
from train.rundir.record import RunPaths, write_job
from train.speed import choice as choice_module
from train.speed.choice import run_choice


@pytest.fixture
def liger(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """liger-kernel is there; the calls that it got."""
    monkeypatch.setitem(sys.modules, fake_liger.NAME, fake_liger)
    monkeypatch.setattr(choice_module, "find_spec", lambda name: object())
    fake_liger.calls.clear()
    return fake_liger.calls


@pytest.mark.parametrize(
    ("z_loss", "softcap"), [(0.0, None), (0.01, None), (0.0, 3.0), (0.01, 3.0)]
)
def test_it_is_asked_for_what_the_loss_in_chunks_gives(liger, z_loss, softcap):
    hidden, weight, labels = batch(masked=True)
    assert IGNORED in labels
    losses = [
        head_loss(by_liger)(hidden, weight, labels, z_loss=z_loss, softcap=softcap)
        for by_liger in (True, False)
    ]
    assert liger == ["sum"]
    torch.testing.assert_close(*losses, rtol=1e-6, atol=0)
    theirs, ours = (torch.autograd.grad(3 * loss, (hidden, weight)) for loss in losses)
    for one, other in zip(theirs, ours, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# What comes out of one graph and goes into the next has no .grad, which torch looks for.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_a_compiled_caller_leaves_its_graph_for_it_and_goes_on(liger):
    graphs: list[object] = []

    def keep(graph, _):
        graphs.append(graph)
        return graph.forward

    hidden, weight, labels = batch(masked=False)

    def scaled() -> torch.Tensor:
        return 2 * liger_loss(hidden * 3, weight, labels)

    torch.compiler.reset()
    compiled = torch.compile(scaled, backend=keep, dynamic=False)()
    torch.compiler.reset()
    torch.testing.assert_close(compiled, 2 * chunked_loss(hidden * 3, weight, labels))
    assert len(graphs) == 2


def test_it_is_taken_where_it_is_asked_for_and_can_work(tmp_path, tiny_job, liger, caplog):
    asked = replace(tiny_job, runtime=replace(tiny_job.runtime, loss="liger"))
    choices = {}
    for name, job in (("chunked", tiny_job), ("liger", asked)):
        for device in ("cuda", "cpu"):
            write_job(tmp_path / f"{name}-{device}", job)
            choices[name, device] = run_choice(tmp_path / f"{name}-{device}", job, device)
    assert [key for key, choice in choices.items() if choice.liger] == [("liger", "cuda")]
    assert choices["liger", "cuda"].label == "library, Liger's loss"
    assert "loss=liger: its kernels need CUDA, and this run is on cpu; the loss is" in caplog.text
    assert len(caplog.messages) == 1


def test_without_it_the_loss_is_computed_in_chunks_which_is_logged(
    tmp_path, tiny_job, monkeypatch, caplog
):
    """Also by a run that began with it and is resumed where it is not installed."""
    asked = replace(tiny_job, runtime=replace(tiny_job.runtime, loss="liger"))
    monkeypatch.setattr(choice_module, "find_spec", lambda name: None)
    for name in ("new", "resumed"):
        write_job(tmp_path / name, asked)
    assert not run_choice(tmp_path / "new", asked, "cuda").liger
    assert "liger-kernel is not installed (pip install 'isoflop[liger]'); the loss" in caplog.text
    monkeypatch.setattr(choice_module, "find_spec", lambda name: object())
    assert run_choice(tmp_path / "resumed", asked, "cuda").liger
    assert RunPaths(tmp_path / "resumed").choice.exists()
    monkeypatch.setattr(choice_module, "find_spec", lambda name: None)
    assert not run_choice(tmp_path / "resumed", asked, "cuda").liger
    assert "the run began with library, Liger's loss, which this machine can't do" in caplog.text
