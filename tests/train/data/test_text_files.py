import hashlib
import json
from pathlib import Path
from unittest import mock

import pytest

from train.config.spec import SourceSpec
from train.data.file_io import checksum, size_on_disk
from train.data.sources import make_source


def test_a_checksum_is_read_once_until_the_file_changes(tmp_path: Path):
    path = tmp_path / "tokens"
    path.write_bytes(b"abc")
    assert checksum(path) == hashlib.sha256(b"abc").hexdigest()
    with mock.patch("builtins.open", side_effect=AssertionError("read again")):
        assert checksum(path) == hashlib.sha256(b"abc").hexdigest()
    path.write_bytes(b"abcd")
    assert checksum(path) == hashlib.sha256(b"abcd").hexdigest()


def test_a_missing_file_has_no_checksum(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        checksum(tmp_path / "none")


@pytest.mark.parametrize("kind", ["text", "tokens"])
def test_a_saved_dataset_is_its_rows_and_not_what_lies_beside_them(kind: str, tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    rows = {"text": [f"{i} " * 400 for i in range(64)], "input_ids": [[1, 2, 3] * 99] * 64}
    directory = tmp_path / "saved"
    datasets.Dataset.from_dict(rows).save_to_disk(str(directory), num_shards=2)
    arrow = sorted(directory.glob("*.arrow"))
    before = source(kind, directory).identity
    assert size_on_disk(directory) == sum(path.stat().st_size for path in arrow)
    # What `map` leaves there, and a description with another fingerprint.
    (directory / f"cache-{'0' * 16}.arrow").write_bytes(arrow[0].read_bytes())
    state = json.loads((directory / "state.json").read_text())
    (directory / "state.json").write_text(json.dumps(state | {"_fingerprint": "another"}))
    assert source(kind, directory).identity == before
    assert list(source(kind, f"{directory}/*").paths) == arrow
    assert list(source(kind, f"{tmp_path}/*/*").paths) == arrow


def test_a_folder_with_a_state_json_of_its_own_is_read_whole(tmp_path: Path):
    for name in ("a.txt", "state.json"):
        (tmp_path / name).write_text('{"epoch": 3}\n')
    assert [path.name for path in source("text", f"{tmp_path}/*").paths] == ["a.txt", "state.json"]


def source(kind: str, files: Path | str):
    options = {"files": [str(files)]}
    return make_source(SourceSpec(kind, options=options), 1024, "tokens")
