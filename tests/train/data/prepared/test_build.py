import gzip
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from train.config.spec import DataSpec, SourceSpec, SpecError, TokenizerSpec
from train.data.dataset import prepare
from train.data.prepared import build, encode_pool
from train.data.prepared.mapped_tokens import MappedTokens
from train.data.token_shards import ShardError

SCRIPT = """
import sys
from train.config.spec import DataSpec, SourceSpec, TokenizerSpec
from train.data.dataset import prepare
from train.data.prepared import build, encode_pool
build.UNIT_CHARS, build.NOTE_SECONDS, encode_pool.SMALL_BYTES = 20_000, 0.0, 0
prepare(
    DataSpec(
        parts={"text": SourceSpec("text", options={"files": [sys.argv[1]]})},
        tokenizer=TokenizerSpec("bpe", vocab_size=400), val_tokens=20_000, val_rule="tokens",
    ),
    32,
)
"""


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    """JSON lines, 2 MB of text in documents of a few lines, compressed."""
    rng = np.random.default_rng(0)
    words = np.array(["alpha", "beta", "gamma", "delta", "eins", "zwei", "drei", "vier", "\n"])
    path = tmp_path / "long.json.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        for _ in range(900):
            text = " ".join(words[rng.integers(0, len(words), 450)])
            file.write(json.dumps({"text": text}) + "\n")
    return path


def data_of(path: Path, **changes) -> DataSpec:
    spec = DataSpec(
        parts={"text": SourceSpec("text", options={"files": [str(path)]})},
        tokenizer=TokenizerSpec("bpe", vocab_size=400),
        val_tokens=20_000,
        val_rule="tokens",
    )
    return replace(spec, **changes)


def tokens_of(data: DataSpec) -> MappedTokens:
    _, shards, _ = prepare(data, 32)
    found = shards["text"]
    assert isinstance(found, MappedTokens)
    return found


def content(found: MappedTokens) -> dict[str, bytes]:
    names = ("tokens", "train.ranges", "val.ranges")
    return {name: (found.directory / name).read_bytes() for name in names}


def test_validation_holds_the_tokens_that_were_asked_for_from_many_documents(
    own_cache: Path, long_file: Path
):
    found = tokens_of(data_of(long_file))
    assert 20_001 <= found.counts["val"]["n_tokens"] <= 22_000
    assert found.counts["val"]["n_documents"] >= 10
    assert len(found.ranges["val"]) >= 15
    assert found.counts["train"]["n_tokens"] + found.counts["val"]["n_tokens"] == sum(
        map(len, found.arrays)
    )


def test_processes_make_the_tokens_that_one_makes(own_cache: Path, long_file: Path, monkeypatch):
    alone = content(tokens_of(data_of(long_file)))
    monkeypatch.setattr(encode_pool, "SMALL_BYTES", 0)
    monkeypatch.setattr(build, "UNIT_CHARS", 50_000)
    monkeypatch.setattr(encode_pool, "usable_cores", lambda: 3)
    for path in (own_cache / "shards").glob("[!.]*"):
        path.rename(own_cache / "aside")
    assert content(tokens_of(data_of(long_file))) == alone


def test_killed_while_tokenising_and_run_again_the_shards_are_the_same(
    own_cache: Path, long_file: Path
):
    """kill -9 between two notes; the second attempt reads on from the last and ends alike."""
    command = [sys.executable, "-c", SCRIPT, str(long_file)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        while not (notes := list(own_cache.glob("shards/.*.building/note.json"))):
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    note = json.loads(notes[0].read_text())
    assert note["n_tokens"] > 0
    tokens = notes[0].with_name("tokens")
    inode = tokens.stat().st_ino
    with tokens.open("ab") as file:
        file.write(b"half a unit")  # what a kill between two notes leaves behind
    found = tokens_of(data_of(long_file))
    assert (found.directory / "tokens").stat().st_ino == inode, "it began from zero"
    resumed = content(found)
    found.directory.rename(own_cache / "aside")
    assert content(tokens_of(data_of(long_file))) == resumed


def test_a_process_that_dies_over_its_work_is_named(own_cache: Path, long_file: Path, monkeypatch):
    monkeypatch.setattr(encode_pool, "SMALL_BYTES", 0)
    monkeypatch.setattr(encode_pool, "usable_cores", lambda: 2)
    real = encode_pool._start

    def start(encoding):
        worker = real(encoding)
        worker.kill()
        return worker

    monkeypatch.setattr(encode_pool, "_start", start)
    with pytest.raises(ShardError, match=r"ended before its answer .*; run again to go on"):
        tokens_of(data_of(long_file))


def test_equal_documents_are_validated_on_once_and_never_trained_on(
    own_cache: Path, tmp_path: Path
):
    rows = [{"text": f"document {i}: " + f"{i * 37 % 101} " * 60} for i in range(300)]
    path = tmp_path / "rows"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows * 3))
    found = tokens_of(data_of(path, tokenizer=TokenizerSpec(), val_tokens=3000))
    texts = {}
    for split in ("train", "val"):
        view, _ = found.open(split)
        ids = view[np.arange(len(view))]
        texts[split] = [
            bytes(p.astype(np.uint8)) for p in np.split(ids, np.flatnonzero(ids == 256) + 1)
        ]
    val = [text for text in texts["val"] if text]
    assert len(val) == len(set(val)) >= 10
    assert not set(val) & set(texts["train"])


def test_a_file_that_is_no_text_is_refused_before_any_is_read(own_cache: Path, tmp_path: Path):
    (tmp_path / "train.bin").write_bytes(np.arange(5000, dtype=np.uint16).tobytes())
    with pytest.raises(SpecError, match=r"train\.bin holds no text; data=text reads"):
        tokens_of(data_of(tmp_path / "train.bin", tokenizer=TokenizerSpec()))
    assert not list(own_cache.glob("shards/*/*"))


def test_damage_of_the_tokens_is_seen(own_cache: Path, long_file: Path):
    found = tokens_of(data_of(long_file))
    path = found.directory / "tokens"
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ShardError, match="checksum differs"):
        found.verify()
    path.write_bytes(raw[:-2])
    with pytest.raises(ShardError, match=r"truncated; delete .* to rebuild"):
        tokens_of(data_of(long_file))
