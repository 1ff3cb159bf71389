"""The choice of a FlashAttention, by an implementation that the test registers."""

import json
from dataclasses import replace

import pytest
from torch.nn import attention

from train.model.flash import flash_in_use, use_flash
from train.run import train_run
from train.rundir.record import RunPaths, write_job


class Handle:
    def __init__(self) -> None:
        self.removed = False

    def remove(self) -> None:
        self.removed = True


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch):
    """FA3 can be activated and leaves these handles; FA4 needs a package that is not there."""
    handles: list[Handle] = []

    def activate() -> Handle:
        handles.append(Handle())
        return handles[-1]

    def missing() -> Handle:
        raise ImportError("No module named 'flash_attn'")

    monkeypatch.setitem(attention._registry._FLASH_ATTENTION_IMPLS, "FA3", activate)
    monkeypatch.setitem(attention._registry._FLASH_ATTENTION_IMPLS, "FA4", missing)
    yield handles
    use_flash("own", "cuda")


def test_it_is_taken_for_the_run_that_asks_and_undone_for_the_next(registered):
    assert use_flash("FA3", "cuda") == flash_in_use() == "FA3"
    assert use_flash("own", "cuda") == flash_in_use() == "own"
    assert [handle.removed for handle in registered] == [True]


@pytest.mark.parametrize(
    ("asked", "device", "reason"),
    [("FA4", "cuda", "No module named 'flash_attn'"), ("FA3", "cpu", "needs CUDA")],
)
def test_what_can_not_be_had_is_logged_and_the_own_goes_on(
    registered, caplog, asked, device, reason
):
    assert use_flash("FA3", "cuda") == "FA3"
    assert use_flash(asked, device) == "own"
    assert f"runtime.flash={asked}: " in caplog.text
    assert reason in caplog.text
    assert "attention is by PyTorch's own kernels" in caplog.text


def test_a_run_says_which_it_had(tmp_path, tiny_job, registered):
    """On a CPU it is PyTorch's own, also after another run of the process on a GPU."""
    use_flash("FA3", "cuda")
    write_job(tmp_path / "run", replace(tiny_job, runtime=replace(tiny_job.runtime, flash="FA3")))
    assert train_run(tmp_path / "run") == "finished"
    assert json.loads(RunPaths(tmp_path / "run").env.read_text())["flash"] == "own"
    assert "runtime.flash=FA3: it needs CUDA" in RunPaths(tmp_path / "run").log.read_text()
    assert registered[0].removed
