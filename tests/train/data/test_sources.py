import bz2
import gzip
import json
import lzma
from pathlib import Path

import pandas as pd
import pytest

from eval.tasks.heldout_split import is_heldout
from train.config.spec import SourceSpec, SpecError
from train.data.file_io import TextFile, cut
from train.data.sources import make_source


def text_source(files, val_tokens=4096, **options):
    return make_source(SourceSpec("text", options={"files": files, **options}), val_tokens)


def read_texts(path: Path, field: str) -> list[str]:
    return [piece for piece, _ in TextFile(path, field).pieces(1 << 20)]


def test_splits_are_disjoint_and_together_hold_every_character(corpus: Path):
    source = text_source([f"{corpus}/*.txt"])
    train, val = ([d.text for d in source.documents(split)] for split in ("train", "val"))
    everything = "".join(path.read_text() for path in sorted(corpus.glob("*.txt")))
    assert sum(map(len, train)) + sum(map(len, val)) == len(everything)
    assert not set(train) & set(val)
    assert 4096 <= sum(map(len, val)) <= 0.2 * len(everything)


def test_the_split_does_not_depend_on_the_order_of_files(corpus: Path):
    files = sorted(str(path) for path in corpus.glob("*.txt"))
    forward, backward = (text_source(chosen) for chosen in (files, files[::-1]))
    texts = [{d.text for d in source.documents("val")} for source in (forward, backward)]
    assert texts[0] == texts[1]


def test_pieces_join_to_the_text_and_respect_the_limit():
    text = "".join(f"line {i}\n" for i in range(1000))
    pieces = list(cut(text, 100))
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 100
    assert all(piece.endswith("\n") for piece in pieces)
    assert list(cut("x" * 250, 100)) == ["x" * 100, "x" * 100, "x" * 50]


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("kind", [".txt", ".jsonl"])
def test_files_are_read_plain_and_compressed(kind, suffix, tmp_path: Path):
    import pyarrow as pa

    texts = ["one\ntwo", "drei"]
    raw = (
        "\n".join(json.dumps({"body": text}) for text in texts) if kind == ".jsonl" else texts[0]
    ).encode()
    path = tmp_path / f"file{kind}{suffix}"
    pack = {
        "": bytes,
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
    }[suffix]
    path.write_bytes(pack(raw))
    assert (read_texts(path, "body")) == (texts if kind == ".jsonl" else texts[:1])


@pytest.mark.parametrize("name", ["c4-train.json.gz", "rows", "dolma.json.gz.part"])
def test_json_lines_are_known_by_their_content(name: str, tmp_path: Path):
    """C4 and Dolma call JSON lines .json.gz; trained on as text, their syntax was the corpus."""
    rows = [{"id": 1, "text": f"document {i}\nof two lines"} for i in range(30)]
    raw = "\n".join(map(json.dumps, rows)).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if "gz" in name else raw)
    assert read_texts(path, "text") == [row["text"] for row in rows]


def test_a_file_is_read_in_pieces_that_join_to_it(tmp_path: Path):
    text = "".join(f"Zeile {i} – überall\n" for i in range(60_000))
    path = tmp_path / "long.txt"
    path.write_text(text)
    file = TextFile(path, "text")
    pieces = list(file.pieces(1000))
    assert "".join(piece for piece, _ in pieces) == text
    assert [last for _, last in pieces] == [False] * (len(pieces) - 1) + [True]
    assert [piece for piece, _ in pieces] == list(cut(text, 1000))


def test_parquet_rows_are_documents(tmp_path: Path):
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"body": ["a", None, "b"]}).to_parquet(path)
    assert (read_texts(path, "body")) == ["a", "b"]
    with pytest.raises(SpecError, match="no column 'text'; it has: body"):
        (read_texts(path, "text"))


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("a.jsonl", b'{"other": 1}', "no text field 'text'; it has: other"),
        ("a.jsonl", b'{"text": "a"}\nnot json', "can't be read"),
        ("a.txt.gz", b"\x1f\x8bnot gzip", "can't be read"),
        ("a.parquet", b"PAR1not parquet", "can't be read"),
        (
            "a.png",
            b"\x89PNG\r\n\x1a\n\0\0",
            "holds no text; data=text reads plain text",
        ),
        ("a.bin", bytes([7, 0, 9, 1]) * 99, "holds no text; .* read by data=tokens"),
        ("a.npy", b"\x93NUMPY\x01\0", "holds token ids .npy.; data=text reads"),
    ],
)
def test_broken_files_are_named(name, raw, words, tmp_path: Path):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(SpecError, match=words):
        (read_texts(tmp_path / name, "text"))


def test_an_empty_source_is_refused(tmp_path: Path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(SpecError, match="'text' is empty"):
        list(text_source([str(tmp_path / "empty.txt")]).documents("train"))


def test_too_little_text_for_validation_is_refused(tmp_path: Path):
    (tmp_path / "short.txt").write_text("a few words\n")
    with pytest.raises(SpecError, match="too few to hold out 4096"):
        list(text_source([str(tmp_path / "short.txt")]).documents("train"))


def test_installed_packages_are_text_of_permissive_licences(monkeypatch):
    source = make_source(SourceSpec("packages", options={"names": ["sympy"]}), 4096, "tokens")
    assert sum(path.stat().st_size for path in source.paths) > 10e6
    assert {path.suffix for path in source.paths} >= {".py"}
    with pytest.raises(SpecError, match="nothing-of-this-name is not installed"):
        make_source(SourceSpec("packages", options={"names": ["nothing-of-this-name"]}), 4096)
    monkeypatch.setattr("train.data.packages.licence_of", lambda package: "GPL-3.0-only")
    with pytest.raises(SpecError, match=r"the licence of sympy \(GPL-3.0-only\) is not"):
        make_source(SourceSpec("packages", options={"names": ["sympy"]}), 4096)


def test_no_matching_file_is_refused(tmp_path: Path):
    with pytest.raises(SpecError, match="no file matches"):
        text_source([f"{tmp_path}/*.txt"])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (SourceSpec("webcrawl"), "'webcrawl' is unknown; expected one of stdlib"),
        (SourceSpec("stdlib", options={"files": []}), "has no option 'files'; it has: none"),
        (SourceSpec("text", options={"fiels": []}), "no option 'fiels'; it has: files, field"),
        (SourceSpec("text"), "set it under options"),
        (SourceSpec("arithmetic", options={"digit": 3}), "no option 'digit'; it has: task"),
    ],
)
def test_unknown_kinds_and_options_are_named(spec, words):
    with pytest.raises(SpecError, match=words):
        make_source(spec, 1000)


def test_arithmetic_training_holds_no_heldout_problem():
    from eval.tasks import arithmetic

    source = make_source(SourceSpec("arithmetic", options={"digits": 2, "n_items": 3000}), 500)
    problems = {
        split: {d.text[: d.loss_from] for d in source.documents(split)}
        for split in ("train", "val")
    }
    assert not problems["train"] & problems["val"]
    operands = [[int(x) for x in p.rstrip("=").split("+")] for p in problems["train"]]
    import numpy as np

    hashes = arithmetic.hashes("addition", np.array(operands), 7)
    assert not is_heldout(hashes).any()


def test_codebook_training_holds_no_heldout_string_and_prompts_carry_no_loss():
    source = make_source(
        SourceSpec("codebook", options={"length": 3, "n_keys": 30, "n_items": 2000}), 300
    )
    trained, validated = list(source.documents("train", None)), list(source.documents("val", None))
    assert (len(trained), len(validated)) == (2000, 300)
    assert not {d.text for d in trained} & {d.text for d in validated}
    assert all(d.text[d.loss_from - 1] == "=" and len(d.text) == d.loss_from + 4 for d in trained)
    with pytest.raises(SpecError, match="no option 'keys'; it has: length"):
        make_source(SourceSpec("codebook", options={"keys": 3}), 300)
