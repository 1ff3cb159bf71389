import hashlib
from pathlib import Path
from unittest import mock

import pytest

from train.data.file_io import checksum


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
