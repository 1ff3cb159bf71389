import json
import os
from pathlib import Path

import pytest

from train.rundir.atomic import RecordError, read_json, write_atomic, write_json


def test_nan_never_reaches_a_json_file(tmp_path: Path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.txt"
    write_atomic(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RecordError, match=r"can't write .*a\.txt: No space left"):
        write_atomic(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_read_json_names_the_missing_file(tmp_path: Path):
    with pytest.raises(RecordError, match="is missing"):
        read_json(tmp_path / "none.json")
    (tmp_path / "ok.json").write_text(json.dumps([1]))
    assert read_json(tmp_path / "ok.json") == [1]
