"""Batches by memory: an estimate that follows model and device, and halving."""

from types import SimpleNamespace

import pytest
import torch

from eval.lm.memory import ON_CPU, batch_tokens, in_batches, rows_within, token_bytes
from eval.tasks.generated import TaskError


def model(dtype: torch.dtype = torch.float32) -> SimpleNamespace:
    config = SimpleNamespace(
        hidden_size=64, intermediate_size=256, num_hidden_layers=2, vocab_size=800
    )
    return SimpleNamespace(config=config, dtype=dtype, device=torch.device("cpu"))


def test_the_estimate_counts_what_a_token_needs(monkeypatch) -> None:
    assert token_bytes(model()) == 4 * (2 * 2 * 64 + 12 * 64 + 3 * 256) + 400
    assert token_bytes(model(torch.bfloat16)) == 2 * (2 * 2 * 64 + 12 * 64 + 3 * 256) + 400
    monkeypatch.setattr("eval.lm.memory.free_bytes", lambda device: 2 * 1000 * token_bytes(model()))
    assert batch_tokens(model(), None) == 1000
    assert batch_tokens(model(), 77) == 77
    monkeypatch.setattr("eval.lm.memory.free_bytes", lambda device: None)
    assert batch_tokens(model(), None) == ON_CPU


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full collection of a process that holds the whole suite takes seconds."""
    monkeypatch.setattr("eval.lm.memory.gc.collect", lambda: 0)


def test_a_batch_that_failed_is_not_tried_again_as_it_was() -> None:
    """The usual size may be far beyond what there is: its first halves are all of it again."""
    tried: list[int] = []

    def run(start: int, end: int) -> None:
        tried.append(end - start)
        if end - start > 3:
            raise MemoryError

    in_batches(20, rows_within(20, 1000), run)
    assert tried == [20, 15, 7, 3, 3, 3, 3, 3, 3, 2]


def test_what_does_not_fit_is_tried_in_halves_and_everything_is_done_once() -> None:
    done: list[int] = []

    def run(start: int, end: int) -> None:
        if end - start > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ...")
        done.extend(range(start, end))

    assert in_batches(20, rows_within(20, 10), run) == 2
    assert done == list(range(20))
    with pytest.raises(RuntimeError, match="shape"):
        in_batches(1, rows_within(1, 1), lambda start, end: (_ for _ in ()).throw(
            RuntimeError("a shape is wrong")))  # fmt: skip

    def never(start: int, end: int) -> None:
        raise MemoryError

    with pytest.raises(TaskError, match="memory does not suffice for one item"):
        in_batches(4, rows_within(4, 4), never)
