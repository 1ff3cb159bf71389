import json
import os
import resource
import signal
from pathlib import Path

import pytest

from train.rundir.atomic import (
    RecordError,
    append_jsonl,
    read_json,
    read_jsonl,
    write_atomic,
    write_json,
)


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


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o077, 0o600), (0o022, 0o644)])
def test_file_modes_follow_the_umask(umask, mode, tmp_path: Path):
    former = os.umask(umask)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(former)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == mode


def test_a_line_after_a_torn_one_is_a_line_of_its_own(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"b": ')
    append_jsonl(path, {"c": 3})
    assert read_jsonl(path) == [{"a": 1}, {"c": 3}]


def test_a_line_that_does_not_fit_leaves_none_of_itself(tmp_path: Path):
    """A limit on the size of files cuts a write short, as a full disk does."""
    path = tmp_path / "a.jsonl"
    append_jsonl(path, {"a": 1})
    before = path.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(RecordError, match=r"can't append to .*a\.jsonl"):
            append_jsonl(path, {"b": "x" * 50})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
