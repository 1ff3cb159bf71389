"""Running text: every token scored once, bits per byte by domain, continuations by difficulty."""

import math
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from eval.__main__ import EvalConfig, main
from eval.lm.generate import greedy
from eval.lm.loglikelihood import read_prompts
from eval.metrics.aggregate import Measurement
from eval.tasks.generated import TaskError
from eval.text import command
from eval.text.bits_per_byte import TextScores, by_domain, score_documents
from eval.text.continuation import (
    NO_STOP,
    Continuations,
    answer_windows,
    draw_windows,
    measurements,
    strata,
)
from eval.text.documents import TextDocument, read_documents
from eval.text.windows import nll_by_text, windows
from tests.support.tiny_checkpoint import save_run, tiny_model

LETTERS = "abcd \n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    return tiny_model(tmp_path_factory.mktemp("model"), alphabet=LETTERS, context=16)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("texts"), np.random.default_rng(0)
    for name in ("law/a.txt", "law/b.txt", "code/deep/c.txt", "d.txt", "law/empty.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        letters = "".join(rng.choice(list(LETTERS), 1500))
        (root / name).write_text("" if "empty" in name else letters)
    return root


@pytest.mark.parametrize(
    ("n", "context", "stride"), [(50, 16, 8), (50, 16, 15), (7, 16, 4), (2, 9, 1)]
)
def test_windows_score_each_token_once_behind_enough_context(n: int, context: int, stride: int):
    found = list(windows(n, context, stride))
    scored = [t for w in found for t in range(w.first, w.end)]
    assert scored == list(range(1, n))
    assert all(w.end - w.start <= context for w in found)
    assert all(w.first - w.start >= min(w.first, context - stride) for w in found)


def test_a_window_wider_than_its_context_is_refused() -> None:
    with pytest.raises(TaskError, match=r"stride=16 must lie in 1..15, below context=16"):
        list(windows(50, 16, 16))


def test_losses_are_those_of_one_token_after_another(model) -> None:
    lm, _ = model
    rng = np.random.default_rng(1)
    given = [rng.integers(0, 6, n).tolist() for n in (30, 5, 17)]
    found = nll_by_text(lm, given, context=8, stride=1, most_tokens=64)
    for text, value in zip(given, found, strict=True):
        expected = 0.0
        for t in range(1, len(text)):
            before = torch.tensor([text[max(0, t - 7) : t]])
            with torch.inference_mode():
                logits = lm(before).logits[0, -1].double()
            expected += float(logits.logsumexp(0) - logits[text[t]])
        assert value == pytest.approx(expected, abs=1e-4)
    again = nll_by_text(lm, given, context=8, stride=1, most_tokens=1)
    assert again == pytest.approx(found, abs=1e-4), "the batch changes nothing"


def test_bits_per_byte_counts_bytes_of_the_text_and_resamples_documents(model) -> None:
    lm, vocab = model
    documents = [TextDocument("x", "1", "ab cd"), TextDocument("y", "2", "dd\n")]
    scores = score_documents(lm, vocab, documents, 16, 8, 1024)
    assert scores.n_bytes.tolist() == scores.n_tokens.tolist() == [5, 3]
    fixed = TextScores(
        ("x", "x", "y"), ("1", "2", "3"), np.array([10, 30, 20]), np.array([5, 15, 20]),
        math.log(2) * np.array([10.0, 60.0, 40.0]),
    )  # fmt: skip
    found = by_domain(fixed)
    value = {name: one[0].value for name, one in found.items()}
    assert value == pytest.approx({"x": 70 / 40, "y": 2.0, "all": 110 / 60})
    assert (found["x"][0].ci_low, found["x"][0].ci_high) == pytest.approx((1.0, 2.0))
    assert math.isnan(found["y"][0].ci_low), "one document has no interval"
    assert found["x"][1].value == pytest.approx(70 * math.log(2) / 20)


def test_domains_are_folders_files_or_one(texts: Path) -> None:
    by_folder = {d.name.split()[0]: d.domain for d in read_documents(str(texts), "folder")}
    assert by_folder == {
        "a.txt": "law", "b.txt": "law", "c.txt": "code", "d.txt": texts.name,
    }  # fmt: skip
    assert {d.domain for d in read_documents(f"{texts}/**/*.txt", "folder")} == {
        "law", "deep", texts.name,
    }  # fmt: skip
    assert {d.domain for d in read_documents(str(texts), "all")} == {"all"}
    with pytest.raises(TaskError, match="holds no text"):
        read_documents(f"{texts}/*.md", "file")


def test_a_saved_set_is_its_rows_and_hidden_files_are_none(tmp_path: Path, caplog) -> None:
    """state.json and dataset_info.json were two documents more, of another loss by far."""
    rows = datasets.Dataset.from_dict({"text": ["one two", "three"]})
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(str(tmp_path / "set"))
    (tmp_path / "set" / ".cache").mkdir()
    (tmp_path / "set" / ".cache" / "x.txt").write_text("hidden")
    (tmp_path / "set" / "state.json").write_text("a text of that name")
    found = read_documents(str(tmp_path / "set"), "folder")
    assert sorted((one.domain, one.text) for one in found) == [
        ("test", "one two"), ("test", "three"), ("train", "one two"), ("train", "three"),
    ]  # fmt: skip
    assert "7 of 9 files" in caplog.text
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "state.json").write_text("no set is near")
    assert len(read_documents(str(tmp_path / "notes"), "all")) == 1


def test_a_continuation_is_right_where_greedy_decoding_writes_it(model) -> None:
    lm, _ = model
    rng = np.random.default_rng(2)
    # texts that the model itself wrote, spoilt here and there, so that some tokens are right
    prompts = rng.integers(0, 6, (60, 6)).tolist()
    own = [one.tokens for one in greedy(lm, read_prompts(lm, prompts), NO_STOP, 6)]
    text = [
        p + [t if rng.random() < 0.8 else 0 for t in o] for p, o in zip(prompts, own, strict=True)
    ]
    drawn = draw_windows(text, 6, 6, 40, seed=0)
    assert drawn.shape == (40, 12)
    assert np.array_equal(drawn, draw_windows(text, 6, 6, 40, seed=0))
    found = answer_windows(lm, drawn, 6, most_tokens=100)
    for k in (1, 3, 6):
        written = (found.output[:, :k] == found.target[:, :k]).all(axis=1)
        assert np.array_equal(written, found.hits[:, :k].all(axis=1))
    rows = {(m.metric, m.target_length, m.position): m for m in measurements(found, (1, 3))}
    assert 0 < rows["exact_match", 3, None].value < rows["exact_match", 1, None].value < 1
    assert rows["exact_match", None, None].value == rows["exact_match", 3, None].value
    assert rows["token_accuracy", 3, 2].value == pytest.approx(found.hits[:, 1].mean())
    with pytest.raises(TaskError, match="no text has the 20 tokens of one window"):
        draw_windows(text, 14, 6, 40, seed=0)


def test_strata_hold_the_items_of_one_difficulty() -> None:
    loss = np.array([3.0, 0.1, 2.0, 0.2, 1.0, 5.0])
    assert strata(loss, 3).tolist() == [2, 0, 1, 0, 1, 2]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, texts: Path) -> Path:
    root = tmp_path_factory.mktemp("sweep")
    rng = np.random.default_rng(5)
    for i in range(20):
        (root / f"{i}.txt").write_text("".join(rng.choice(list(LETTERS), 100)))
    files = {"files": [f"{root}/*.txt"]}
    for name, seed in (("a", 0), ("b", 1)):
        save_run(root / "runs" / name, files, "text", seed, alphabet=LETTERS, val_tokens=400)
    save_run(root / "runs" / "sums", {"digits": 2}, seed=2)
    return root


def config(sweep: Path, **task) -> EvalConfig:
    path = task.pop("path", None)
    return EvalConfig(target=str(sweep), task=task, path=path, n_items=30)


def test_text_of_a_sweep_is_rows_by_domain(sweep: Path, texts: Path, monkeypatch, capsys) -> None:
    asked = config(sweep, task="text", path=str(texts / "law"), by="file", stride=4)
    assert main(asked, []) == 1, "the sums have an alphabet without letters"
    assert "failed: 1" in capsys.readouterr().err
    rows = pq.read_table(sweep / "evals.parquet").to_pylist()
    bits = [r for r in rows if r["metric"] == "bits_per_byte"]
    assert {(r["run_id"], r["operands"]) for r in bits} == {
        (run, part) for run in {r["run_id"] for r in bits} for part in ("a.txt", "b.txt", "all")
    }
    assert len(bits) == 6
    assert all(r["value"] > 0 and r["format"] == "context 64, stride 4" for r in bits)
    monkeypatch.setattr(
        command,
        "load_checkpoint",
        lambda name, *a: pytest.fail("loaded") if "sums" not in name else 1 / 0,
    )
    with pytest.raises(ZeroDivisionError):
        main(asked, [])


def test_continuations_are_sorted_by_the_best_run_and_skip_what_has_no_text(
    sweep: Path, capsys
) -> None:
    asked = config(sweep, task="continuation", context=8, lengths=[1, 2], strata=2)
    assert main(asked, []) == 0
    assert "not evaluated: 1 (sums): has no running text; give path=DIR" in capsys.readouterr().err
    rows = pq.read_table(sweep / "evals.parquet").to_pylist()
    found = [r for r in rows if r["task"] == "continuation"]
    assert {r["operands"] for r in found} == {"all", "stratum 1 of 2", "stratum 2 of 2"}
    loss = {
        (r["run_id"], r["operands"]): r["value"]
        for r in found
        if r["metric"] == "token_nll" and r["target_length"] is None
    }
    reference = next(r["run_id"] for r in found)
    easy, hard = (loss[reference, f"stratum {i} of 2"] for i in (1, 2))
    assert easy < loss[reference, "all"] < hard
    assert {r["split"] for r in found} == {"heldout"}
    whole = [r for r in found if r["metric"] == "exact_match" and r["target_length"] is None]
    assert all(0 <= r["chance"] < 1 for r in whole)


def test_continuations_need_room(sweep: Path, capsys) -> None:
    assert main(config(sweep, task="continuation", context=60), []) == 1
    assert "exceed the checkpoint's context of 64" in capsys.readouterr().err
    with pytest.raises(TaskError, match="must be numbers of tokens"):
        main(config(sweep, task="continuation", lengths=[]), [])


def test_measurements_of_certain_items_are_certain() -> None:
    sure = Continuations(
        np.zeros((4, 2)), np.ones((4, 2), bool), np.ones((4, 2), int), np.ones((4, 2), int)
    )
    (match,) = [
        m for m in measurements(sure, (2,)) if m.metric == "exact_match" and not m.target_length
    ]
    assert match == Measurement("exact_match", 1.0, match.ci_low, 1.0, 4, chance=1.0)
