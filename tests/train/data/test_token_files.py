import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from train.config.resolve import resolve
from train.config.run_config import RunConfig
from train.config.spec import DataSpec, SourceSpec, SpecError, TokenizerSpec
from train.data.dataset import Dataset, describe, prepare
from train.data.prepared.in_place import MIN_BLOCK
from train.data.token_files import open_tokens
from train.run import train_run
from train.rundir.record import read_record, write_job

END = 9
N_VAL = 2 * MIN_BLOCK


@pytest.fixture
def documents() -> list[np.ndarray]:
    """Forty documents of ids below 300, each ended by END, which stands nowhere else."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(10, 300, rng.integers(200, 900)) for _ in range(40)]
    return [np.append(ids, END) for ids in drawn]


def as_raw(directory: Path, documents: list[np.ndarray]) -> Path:
    path = directory / "train.bin"
    np.concatenate(documents).astype(np.uint16).tofile(path)
    return path


def as_npy(directory: Path, documents: list[np.ndarray]) -> Path:
    np.save(directory / "train.npy", np.concatenate(documents).astype(np.int32))
    return directory / "train.npy"


def as_modded(directory: Path, documents: list[np.ndarray]) -> Path:
    ids = np.concatenate(documents).astype("<u2")
    header = np.zeros(256, "<i4")
    header[:3] = 20240520, 1, len(ids)
    path = directory / "fineweb_train_000001.bin"
    path.write_bytes(header.tobytes() + ids.tobytes())
    return path


def as_megatron(directory: Path, documents: list[np.ndarray]) -> Path:
    """Two sequences a document, as sentence splitting makes them."""
    sequences = [half for ids in documents for half in np.split(ids, [len(ids) // 2])]
    lengths = np.array([len(s) for s in sequences], "<i4")
    pointers = (lengths.astype("<i8").cumsum() - lengths) * 4
    starts = np.arange(0, len(sequences) + 1, 2, dtype="<i8")
    (directory / "text_document.bin").write_bytes(np.concatenate(sequences).astype("<i4").tobytes())
    head = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 4, len(sequences), len(starts))
    (directory / "text_document.idx").write_bytes(
        head + lengths.tobytes() + pointers.tobytes() + starts.tobytes()
    )
    return directory / "text_document.bin"


def rows(documents: list[np.ndarray]) -> pa.Table:
    return pa.table({"input_ids": pa.array([list(ids) for ids in documents], pa.list_(pa.int32()))})


def as_parquet(directory: Path, documents: list[np.ndarray]) -> Path:
    pq.write_table(rows(documents), directory / "train.parquet", row_group_size=7)
    return directory / "train.parquet"


def as_arrow(directory: Path, documents: list[np.ndarray]) -> Path:
    path = directory / "train.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows(documents).schema) as sink:
        sink.write_table(rows(documents), max_chunksize=11)
    return path


def as_saved_dataset(directory: Path, documents: list[np.ndarray]) -> Path:
    import datasets

    held = datasets.Dataset.from_dict({"input_ids": [list(map(int, ids)) for ids in documents]})
    held.save_to_disk(str(directory / "saved"), num_shards=3)
    return directory / "saved"


KINDS = [as_raw, as_npy, as_modded, as_megatron, as_parquet, as_arrow, as_saved_dataset]


def spec_of(paths: list[Path], tokenizer: TokenizerSpec | None = None, **options) -> DataSpec:
    files = {"files": [str(path) for path in paths], **options}
    return DataSpec(
        parts={"tokens": SourceSpec("tokens", options=files)},
        tokenizer=tokenizer or TokenizerSpec("ids", vocab_size=300, end_id=END),
        val_tokens=N_VAL,
        val_rule="tokens",
    )


@pytest.mark.parametrize("write", KINDS[1:], ids=lambda f: f.__name__)
def test_every_kind_of_file_gives_the_batches_of_the_same_tokens(
    write: Callable, documents: list[np.ndarray], tmp_path: Path, tiny_job: RunConfig
):
    def opened(path: Path) -> Dataset:
        asked = replace(tiny_job.spec, data=spec_of([path]), n_steps=None)
        asked = replace(asked, model=replace(asked.model, vocab_size=None))
        return Dataset.open(resolve(asked, describe(asked.data, 32)))

    raw, other = opened(as_raw(tmp_path, documents)), opened(write(tmp_path, documents))
    for step in (0, 17):
        for a, b in zip(raw.batch(step), other.batch(step), strict=True):
            assert (a == b).all()
    pairs = zip(raw.val_batches("tokens", 8), other.val_batches("tokens", 8), strict=True)
    assert all((a[0] == b[0]).all() for a, b in pairs)


@pytest.mark.parametrize("write", [as_npy, as_megatron, as_arrow], ids=lambda f: f.__name__)
def test_tokens_are_read_where_they_lie(write, documents, tmp_path: Path, monkeypatch):
    """Nothing of the size of the data is written: the arrays are maps of the files."""
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    path = write(tmp_path, documents)
    prepare(spec_of([path]), 32)
    written = sum(p.stat().st_size for p in (tmp_path / "cache").rglob("*") if p.is_file())
    assert written < path.stat().st_size / 4
    (array, *_) = open_tokens(path, None, "input_ids").arrays
    assert not array.flags.owndata and not array.flags.writeable


def test_a_text_and_the_file_of_its_tokens_train_to_the_same_loss(
    text_data: DataSpec, tiny_job: RunConfig, tmp_path: Path
):
    """The one path tokenises text, the other reads what that made, as nanoGPT keeps it."""
    text = replace(text_data, val_rule="tokens", val_tokens=2048)
    _, shards, _ = prepare(text, 32)
    for split in ("train", "val"):
        view, _ = shards["text"].open(split)
        view[np.arange(len(view))].astype(np.uint16).tofile(tmp_path / f"{split}.bin")
    tokens = replace(
        spec_of([tmp_path / "train.bin"], TokenizerSpec(), val_files=[str(tmp_path / "val.bin")]),
        val_tokens=2048,
    )
    losses = []
    for number, data in enumerate((text, tokens)):
        asked = replace(tiny_job.spec, data=data, n_steps=None)
        job = replace(tiny_job, spec=resolve(asked, describe(data, 32)))
        write_job(tmp_path / str(number), job)
        assert train_run(tmp_path / str(number)) == "finished"
        record = read_record(tmp_path / str(number))
        assert record is not None
        losses.append((record.loss, record.train_loss))
    assert losses[0] == losses[1]


def test_files_may_say_vocabulary_and_end_token(documents, tmp_path: Path):
    unset = TokenizerSpec("ids")
    codec, _, _ = prepare(spec_of([as_megatron(tmp_path, documents)], unset), 32)
    assert (codec.vocab_size, codec.end_id) == (300, END)
    codec, _, _ = prepare(spec_of([as_raw(tmp_path, documents)], unset), 32)
    assert (codec.vocab_size, codec.end_id) == (301, 300)  # no end token: one of its own
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": 320, "itos": {1: "a"}}))
    codec, _, _ = prepare(spec_of([as_raw(tmp_path, documents)], unset), 32)
    assert codec.vocab_size == 321


def test_a_description_of_other_than_numbers_is_refused_and_not_run(documents, tmp_path: Path):
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": Path("x")}))
    with pytest.raises(SpecError, match="names no vocab_size"):
        prepare(spec_of([as_raw(tmp_path, documents)], TokenizerSpec("ids")), 32)


def test_ids_outside_the_vocabulary_are_refused(documents, tmp_path: Path):
    path = as_raw(tmp_path, documents)
    with pytest.raises(SpecError, match="token id 299, outside the vocabulary of 257"):
        prepare(spec_of([path], TokenizerSpec()), 32)
    with pytest.raises(SpecError, match=r"end_id=9 lies outside the 5 ids"):
        prepare(spec_of([path], TokenizerSpec("ids", vocab_size=5, end_id=9)), 32)


def test_text_and_ids_mix_only_with_a_tokenizer(documents, tmp_path: Path, text_data: DataSpec):
    data = spec_of([as_raw(tmp_path, documents)])
    mixed = replace(data, parts=data.parts | text_data.parts)
    with pytest.raises(SpecError, match=r"'text' is text, and data\.tokenizer\.kind=ids has no"):
        prepare(mixed, 32)


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("a.txt", b"some text\n" * 99, "no file of token ids that is known; data=tokens reads"),
        ("a.bin", b"abc", "3 bytes, which is no number of uint16 ids"),
        ("a.bin", b"", "holds no tokens"),
        (
            "a.bin",
            struct.pack("<3i", 20240520, 1, 7) + bytes(1012),
            "its header says 7: it is trunc",
        ),
        ("a.npy", b"\x93NUMPY\x01\0", "can't be read"),
    ],
)
def test_files_that_hold_no_tokens_are_named(name, raw, words, tmp_path: Path):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(SpecError, match=words):
        open_tokens(tmp_path / name, None, "input_ids")


def test_an_index_of_other_tokens_is_refused(documents, tmp_path: Path):
    path = as_megatron(tmp_path, documents)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(SpecError, match="does not describe"):
        open_tokens(path, None, "input_ids")


def test_a_dataset_of_several_splits_asks_for_one(tmp_path: Path):
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    with pytest.raises(SpecError, match=r"several splits \(train, test\); name one"):
        open_tokens(tmp_path, None, "input_ids")
