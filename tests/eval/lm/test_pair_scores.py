"""Pairs of contexts and continuations: scores of plain passes, with less read."""

from typing import Any

import numpy as np
import pytest
import torch

from eval.lm.generate import greedy
from eval.lm.loglikelihood import read_prompts
from eval.lm.pair_rows import clusters, rows_of
from eval.lm.pair_scores import PairScorer
from eval.tasks.generated import TaskError
from tests.support.tiny_checkpoint import tiny_model

Pairs = list[tuple[tuple[int, ...], tuple[int, ...]]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_model(tmp_path_factory.mktemp("m"), context=128)[0]


@pytest.fixture
def fed(model: Any) -> Any:
    """Tokens of every forward pass, as (rows, length)."""
    shapes: list[tuple[int, int]] = []

    def note(module: Any, args: Any, options: dict[str, Any]) -> None:
        shapes.append(tuple(options["input_ids"].shape))

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    yield shapes
    handle.remove()


def ids(rng: np.random.Generator, n: int) -> tuple[int, ...]:
    return tuple(rng.integers(0, 13, n).tolist())


def alone(model: Any, context: tuple[int, ...], continuation: tuple[int, ...]) -> float:
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([context + continuation])).logits[0].double()
    logprobs = logits.log_softmax(-1)
    return sum(float(logprobs[len(context) - 1 + i, t]) for i, t in enumerate(continuation))


def check(model: Any, pairs: Pairs, found: list[tuple[float, bool]]) -> None:
    for (context, continuation), (logprob, hit) in zip(pairs, found, strict=True):
        assert logprob == pytest.approx(alone(model, context, continuation), abs=2e-5)
        (best,) = greedy(model, read_prompts(model, [context]), [-1], len(continuation))
        assert hit == (tuple(best.tokens) == continuation)


def test_choices_of_a_context_are_read_in_one_row(model, fed) -> None:
    rng = np.random.default_rng(0)
    contexts = [ids(rng, n) for n in (9, 4, 7)]
    pairs = [(context, ids(rng, n)) for context in contexts for n in (3, 1, 5, 1, 2)]
    found = PairScorer(model, 4096)([*pairs, pairs[3]])
    # One row by itself and its plain rows check how it is read; then all three in one pass.
    assert fed[-1] == (3, 9 + 2 + 4 + 1)
    assert len(fed) == 1 + 3 + 1
    check(model, [*pairs, pairs[3]], found)


def test_single_tokens_are_answered_by_their_context_alone(model, fed) -> None:
    rng = np.random.default_rng(1)
    contexts = [ids(rng, n) for n in (9, 4, 7)]
    pairs = [(context, (token,)) for context in contexts for token in (1, 2, 3, 4)]
    found = PairScorer(model, 4096)(pairs)
    assert fed == [(3, 9)]
    check(model, pairs, found)


def test_a_prefix_of_many_rows_is_read_once(model, fed) -> None:
    rng = np.random.default_rng(2)
    shots = ids(rng, 60)
    pairs = [(shots + ids(rng, int(n)), ids(rng, 2)) for n in rng.integers(1, 9, 30)]
    pairs += [(pairs[0][0], ids(rng, 4)), (ids(rng, 5), ids(rng, 3))]
    found = PairScorer(model, 4096)(pairs)
    most = sum(rows * length for rows, length in fed)
    assert most < sum(len(context) + len(c) for context, c in pairs) / 3
    check(model, pairs, found)


def test_few_tokens_are_no_prefix_and_one_outlier_spoils_none() -> None:
    rng = np.random.default_rng(3)
    shots = ids(rng, 60)
    rows = rows_of([(shots + ids(rng, 5), (1,)) for _ in range(30)], 128, True)
    outlier = rows_of([(shots[:20] + ids(rng, 40), (1,))], 128, True)
    (n_prefix, cluster), (none, others) = clusters(rows + outlier)
    assert (n_prefix >= 60, len(cluster), none, others) == (True, 30, 0, outlier)
    few = rows_of([(shots[:15] + ids(rng, 5), (1,)) for _ in range(200)], 128, True)
    assert [n for n, _ in clusters(few)] == [0]


def test_an_architecture_without_such_masks_is_read_plainly(model, fed, monkeypatch) -> None:
    def refuse(module: Any, args: Any, options: dict[str, Any]) -> None:
        if options.get("position_ids") is not None:
            raise ValueError("no positions here")

    handle = model.register_forward_pre_hook(refuse, with_kwargs=True)
    rng = np.random.default_rng(4)
    pairs = [(ids(rng, 6), c) for c in (ids(rng, 3), ids(rng, 2))]
    pairs = [(pairs[0][0], c) for _, c in pairs]
    try:
        found = PairScorer(model, 4096)(pairs)
    finally:
        handle.remove()
    assert fed[-1] == (2, 6 + 2)
    check(model, pairs, found)


def test_batches_are_halved_where_memory_does_not_suffice(
    model, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A full collection of a process that holds the whole suite takes seconds.
    monkeypatch.setattr("eval.lm.memory.gc.collect", lambda: 0)
    rng = np.random.default_rng(5)
    pairs = [(ids(rng, int(n)), ids(rng, 2)) for n in rng.integers(2, 9, 20)]
    most = [60]

    def refuse(module: Any, args: Any, options: dict[str, Any]) -> None:
        if options["input_ids"].numel() > most[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")

    done: list[int] = []
    handle = model.register_forward_pre_hook(refuse, with_kwargs=True)
    try:
        found = PairScorer(model, 4096)(pairs, done.append)
        most[0] = 1
        with pytest.raises(TaskError, match="memory does not suffice for one item alone"):
            PairScorer(model, 4096)(pairs)
    finally:
        handle.remove()
    assert (sum(done), len(done) > 1) == (20, True)
    check(model, pairs, found)


def test_prompts_of_unlike_length_decode_as_each_alone(model) -> None:
    rng = np.random.default_rng(6)
    prompts = [ids(rng, n) for n in (3, 11, 7, 11)]
    together = greedy(model, read_prompts(model, prompts), [5], 12)
    for prompt, one in zip(prompts, together, strict=True):
        (single,) = greedy(model, read_prompts(model, [prompt]), [5], 12)
        assert (one.tokens, one.stop) == (single.tokens, single.stop)
        assert one.logprob == pytest.approx(single.logprob, abs=2e-5)
