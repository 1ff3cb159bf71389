import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from train.config.resolve import resolve
from train.config.run_config import RunConfig
from train.config.spec import (
    DataSpec,
    HorizonSpec,
    ModelSpec,
    RunSpec,
    SourceSpec,
    SpecError,
    TokenizerSpec,
)
from train.data import token_shards as shards_module
from train.data.dataset import Dataset, describe, prepare
from train.data.token_shards import ShardError
from train.model.loss import IGNORED


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def arithmetic(seq_len: int, **options) -> RunSpec:
    part = SourceSpec("arithmetic", options={"digits": 2, "n_items": 500, **options})
    spec = RunSpec(
        data=DataSpec(
            parts={"sums": part},
            tokenizer=TokenizerSpec("characters", alphabet="0123456789+=\n"),
            max_epochs=100,
            val_tokens=100,
        ),
        horizon=HorizonSpec(n_tokens=4000),
        model=ModelSpec(d_model=8, seq_len=seq_len),
    )
    return resolve(spec, describe(spec.data, seq_len))


def test_shards_are_built_once_and_identified_by_content(own_cache, text_data, corpus):
    first = describe(text_data, 32)
    built = {path: path.stat().st_mtime_ns for path in own_cache.rglob("*.tokens")}
    assert describe(text_data, 32) == first
    assert {path: path.stat().st_mtime_ns for path in own_cache.rglob("*.tokens")} == built


def test_the_fingerprint_follows_content_not_location(own_cache, text_data, corpus, tmp_path):
    copied = tmp_path / "copy"
    copied.mkdir()
    for path in corpus.glob("*.txt"):
        (copied / path.name).write_bytes(path.read_bytes())
    elsewhere = replace(
        text_data, parts={"text": SourceSpec("text", options={"files": [f"{copied}/*.txt"]})}
    )
    assert describe(elsewhere, 32).fingerprint == describe(text_data, 32).fingerprint
    (copied / "00.txt").write_text((copied / "00.txt").read_text() + "more")
    assert describe(elsewhere, 32).fingerprint != describe(text_data, 32).fingerprint


def test_a_batch_is_a_pure_function_of_seed_and_step(tiny_job: RunConfig):
    first, second = Dataset.open(tiny_job.spec), Dataset.open(tiny_job.spec)
    second.batch(3)
    for a, b in zip(first.batch(7), second.batch(7), strict=True):
        assert (a == b).all()
    other = Dataset.open(replace(tiny_job.spec, seed=1))
    assert (other.batch(7)[0] != first.batch(7)[0]).any()


def test_labels_are_the_next_tokens_and_no_training_token_repeats(tiny_job: RunConfig):
    dataset = Dataset.open(tiny_job.spec)
    tokens, labels = dataset.batch(0)
    assert tokens.shape == labels.shape == (4, 32)
    assert (tokens[:, 1:] == labels[:, :-1]).all()
    steps = [dataset.batch(step)[0] for step in range(40)]
    windows = np.concatenate(steps)
    assert len(np.unique(windows, axis=0)) == len(windows)


def test_validation_windows_never_occur_in_training(tiny_job: RunConfig):
    dataset = Dataset.open(tiny_job.spec)
    train, _ = dataset.shards["text"].open("train")
    haystack = train.astype(np.uint8).tobytes()
    for tokens, _ in dataset.val_batches("text", rows=8):
        for row in tokens:
            assert row.astype(np.uint8).tobytes() not in haystack


def test_rows_hold_whole_problems_and_loss_on_answers_alone():
    dataset = Dataset.open(arithmetic(seq_len=20))
    alphabet = "".join(sorted("0123456789+=\n"))
    tokens, labels = dataset.batch(0)
    for row, wanted in zip(tokens, labels, strict=True):
        text = "".join(alphabet[i] if i < len(alphabet) else "" for i in row)
        for problem in text.split("\n")[:-1]:
            left, answer = problem.split("=")
            assert sum(map(int, left.split("+"))) == int(answer)
        answers = "".join(alphabet[i] for i in wanted if i != IGNORED)
        assert "+" not in answers
        assert "=" not in answers


def test_a_document_longer_than_a_row_names_the_length_that_fits():
    with pytest.raises(SpecError, match=r"raise model\.seq_len to at least"):
        arithmetic(seq_len=4)


def test_separators_stand_between_documents(own_cache, text_data):
    codec, shards, _ = prepare(text_data, 32)
    tokens, _ = shards["text"].open("train")
    assert (tokens == codec.end_id).sum() >= 15
    assert shards["text"].counts["train"]["n_documents"] >= 15


def test_a_slower_builder_leaves_the_finished_shard_in_place(own_cache, text_data, monkeypatch):
    """Two launchers find no shard and both build it; readers of the first one keep their files."""
    real = shards_module._write_split

    def overtaken(*args):
        monkeypatch.setattr(shards_module, "_write_split", real)
        describe(text_data, 32)
        return real(*args)

    monkeypatch.setattr(shards_module, "_write_split", overtaken)
    rename, renamed = os.rename, []
    monkeypatch.setattr(
        shards_module.os, "rename", lambda *paths: (renamed.append(paths), rename(*paths))
    )
    describe(text_data, 32)
    assert len(renamed) == 1
    assert len(list((own_cache / "shards").iterdir())) == 1


def test_a_truncated_shard_is_refused(own_cache, text_data, tiny_job):
    describe(text_data, 32)
    path = next(own_cache.rglob("train.tokens"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ShardError, match=r"truncated; delete .* to rebuild"):
        Dataset.open(tiny_job.spec)


def test_a_damaged_shard_is_refused(own_cache, text_data, tiny_job):
    describe(text_data, 32)
    path = next(own_cache.rglob("val.tokens"))
    raw = bytearray(path.read_bytes())
    raw[10] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ShardError, match="checksum differs"):
        Dataset.open(tiny_job.spec)


def test_garbage_in_meta_is_refused(own_cache, text_data):
    describe(text_data, 32)
    next(own_cache.rglob("meta.json")).write_text("{")
    with pytest.raises(ShardError, match="delete it to rebuild"):
        describe(text_data, 32)


def test_other_data_than_the_spec_was_made_for_is_refused(tiny_job):
    other = replace(tiny_job.spec, data=replace(tiny_job.spec.data, fingerprint="0" * 16))
    with pytest.raises(SpecError, match="plan it again"):
        Dataset.open(other)


def test_a_window_longer_than_the_text_is_refused(text_data):
    with pytest.raises(SpecError, match="fewer than one window"):
        describe(text_data, 100_000)


def test_bpe_is_trained_once_on_the_training_split(own_cache, text_data):
    spec = replace(text_data, tokenizer=TokenizerSpec("bpe", vocab_size=300))
    facts = describe(spec, 32)
    assert 257 <= facts.vocab_size <= 300
    assert facts.n_train_tokens["text"] < describe(text_data, 32).n_train_tokens["text"]
    assert describe(spec, 32) == facts
    assert len(list((own_cache / "tokenizers").iterdir())) == 1
