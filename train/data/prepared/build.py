"""Text files to one file of ids, once: on all cores, and from where it stopped after a kill.

Text is read in order and cut into units of some megabytes, which processes tokenise while others
are read. Their ids are appended in order, and a note says after which unit the files were whole, so
that a second attempt cuts off what came later and reads on. Memory holds a few units, for any
size of the corpus. Afterwards validation is chosen by hash and by the token (`holdout`).
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from train.config.spec import canonical_json
from train.data.file_io import checksum
from train.data.prepared.encode_pool import encoded, n_workers
from train.data.prepared.holdout import PIECE, held_out_ranges
from train.data.prepared.mapped_tokens import MappedTokens, load_splits, save_splits
from train.data.prepared.progress import PreparationProgress
from train.data.text_files import FileSource
from train.data.token_shards import ShardError
from train.data.tokenizer import TextCodec
from train.rundir.atomic import RecordError, read_json, write_json
from train.rundir.mutex import exclusive

UNIT_CHARS = 1 << 21
NOTE_SECONDS = 5.0
"""How often the files are made safe: what a kill costs, beside the units under way."""

PIECES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Note:
    """How far the files are whole: ids, pieces, and where in the text the next unit begins."""

    n_tokens: int = 0
    n_pieces: int = 0
    file: int = 0
    pieces_of_file: int = 0
    n_bytes: int = 0


@dataclass(frozen=True)
class Place:
    """Where a unit ends: file, pieces of it so far, and bytes on disk of all text up to there."""

    file: int
    pieces_of_file: int
    n_bytes: int


def ensure_prepared(root: Path, name: str, source: FileSource, codec: TextCodec) -> MappedTokens:
    """The tokens of text files under a codec, made if they are not there yet.

    Raises:  SpecError: a file that is no text, or too little text; ShardError: a full disk.
    """
    fingerprint = fingerprint_of(source, codec)
    directory = root / fingerprint
    if not (directory / "meta.json").exists():
        try:
            root.mkdir(parents=True, exist_ok=True)
            with exclusive(root / f".{fingerprint}.lock"):
                if not (directory / "meta.json").exists():
                    _build(directory, name, source, codec, fingerprint)
        except OSError as error:
            raise ShardError(f"can't write data shards under {root}: {error}") from error
    tokens = np.memmap(directory / "tokens", _dtype(codec), mode="r")
    return load_splits(directory, [tokens])


def fingerprint_of(source: FileSource, codec: TextCodec) -> str:
    """Identity of a source's tokens under a codec; it reads the text for its checksums."""
    content = {"source": source.identity, "tokenizer": codec.identity}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]


def _dtype(codec: TextCodec) -> str:
    return "<u2" if codec.vocab_size <= 65536 else "<u4"


def _build(
    directory: Path, name: str, source: FileSource, codec: TextCodec, fingerprint: str
) -> None:
    source.require_text()
    building = directory.with_name(f".{directory.name}.building")
    building.mkdir(parents=True, exist_ok=True)
    _write_tokens(building, name, source, codec)
    ranges, counts = held_out_ranges(
        lambda: _pieces_of(building / "pieces"), int(source.val_size), name
    )
    meta = {
        "fingerprint": fingerprint,
        "counts": counts,
        "checksums": {"tokens": checksum(building / "tokens")},
        "max_id": codec.vocab_size - 1,
        "n_tokens": (building / "tokens").stat().st_size // np.dtype(_dtype(codec)).itemsize,
    }
    save_splits(building, meta, ranges)
    (building / "note.json").unlink(missing_ok=True)
    if directory.exists():
        shutil.rmtree(directory)
    os.rename(building, directory)


def _write_tokens(building: Path, name: str, source: FileSource, codec: TextCodec) -> None:
    dtype = _dtype(codec)
    width = np.dtype(dtype).itemsize
    sizes = [source.open(path).size for path in source.paths]
    note = _read_note(building, width)
    noted = time.monotonic()
    with (
        _appended(building / "tokens", note.n_tokens * width) as tokens,
        _appended(building / "pieces", note.n_pieces * PIECE.itemsize) as pieces,
        PreparationProgress(f"preparing data part {name}", sum(sizes), note.n_bytes) as display,
    ):
        units = _units(source, sizes, note)
        workers = n_workers(codec, sum(sizes) - note.n_bytes)
        for place, answer in encoded(units, codec, dtype, workers):
            tokens.write(answer.tokens)
            pieces.write(answer.pieces)
            note = Note(
                note.n_tokens + len(answer.tokens) // width,
                note.n_pieces + len(answer.pieces) // PIECE.itemsize,
                **asdict(place),
            )
            display.update(place.n_bytes)
            if time.monotonic() - noted > NOTE_SECONDS:
                _write_note(building, note, tokens, pieces)
                noted = time.monotonic()
        _write_note(building, note, tokens, pieces)


def _units(
    source: FileSource, sizes: list[int], note: Note
) -> Iterator[tuple[Place, list[tuple[str, bool]]]]:
    """Pieces from where a note says, some megabytes at a time, each with where it ends."""
    pieces: list[tuple[str, bool]] = []
    held = 0
    place = Place(note.file, note.pieces_of_file, note.n_bytes)
    before = sum(sizes[: note.file])
    for index in range(note.file, len(source.paths)):
        file = source.open(source.paths[index])
        skipped = note.pieces_of_file if index == note.file else 0
        for number, piece in enumerate(file.pieces(source.piece_chars), start=1):
            if number <= skipped:
                continue
            pieces.append(piece)
            held += len(piece[0])
            place = Place(index, number, before + file.position)
            if held >= UNIT_CHARS:
                yield place, pieces
                pieces, held = [], 0
        before += sizes[index]
    if pieces:
        yield place, pieces


def _appended(path: Path, size: int) -> IO[bytes]:
    """The file open for appending, cut to the size up to which it is known to be whole."""
    path.touch()
    os.truncate(path, size)
    return path.open("ab")


def _read_note(building: Path, width: int) -> Note:
    """Where to go on; from the beginning where nothing, or less than was noted, is there."""
    try:
        note = Note(**read_json(building / "note.json"))
        enough = (building / "tokens").stat().st_size >= note.n_tokens * width
        enough = enough and (building / "pieces").stat().st_size >= note.n_pieces * PIECE.itemsize
        return note if enough else Note()
    except (RecordError, OSError, TypeError):
        return Note()


def _write_note(building: Path, note: Note, *files: IO[bytes]) -> None:
    for file in files:
        file.flush()
        os.fsync(file.fileno())
    write_json(building / "note.json", asdict(note))


def _pieces_of(path: Path) -> Iterator[NDArray[Any]]:
    with path.open("rb") as file:
        while raw := file.read(PIECES_AT_ONCE * PIECE.itemsize):
            yield np.frombuffer(raw, PIECE)
