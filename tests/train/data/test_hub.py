from pathlib import Path

import pandas as pd
import pytest

from train.config.spec import SourceSpec, SpecError
from train.data import hub
from train.data.hub import HubOptions, fetch
from train.data.sources import make_source


@pytest.fixture
def dataset_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset as the hub serves them: a directory of parquet files."""
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    directory = tmp_path / "dataset"
    directory.mkdir()
    for number in range(3):
        texts = [f"document {number}-{i}\n" + "words " * 20 for i in range(40)]
        pd.DataFrame({"body": texts}).to_parquet(directory / f"{number}.parquet")
    return directory


def test_a_dataset_becomes_local_parts_once(dataset_dir: Path, monkeypatch):
    options = HubOptions(str(dataset_dir), field="body")
    parts = fetch(options)
    texts = [text for part in parts for text in pd.read_parquet(part)["text"]]
    assert len(texts) == 120
    assert texts[0].startswith("document 0-0")
    monkeypatch.setattr(hub, "_stream", lambda *_, **__: pytest.fail("fetched twice"))
    assert fetch(options) == parts


def test_it_stops_at_the_characters_asked_for(dataset_dir: Path):
    parts = fetch(HubOptions(str(dataset_dir), field="body", max_chars=1000))
    held = sum(len(text) for part in parts for text in pd.read_parquet(part)["text"])
    assert 1000 <= held < 1300


def test_an_interrupted_download_goes_on_where_it_stopped(dataset_dir: Path, monkeypatch):
    monkeypatch.setattr(hub, "PART_DOCUMENTS", 50)
    options = HubOptions(str(dataset_dir), field="body")
    real, calls = hub._next_part, []

    def cut_off(*args):
        calls.append(1)
        if len(calls) == 2:
            raise SpecError("network went away")
        return real(*args)

    monkeypatch.setattr(hub, "_next_part", cut_off)
    with pytest.raises(SpecError, match="went away"):
        fetch(options)
    monkeypatch.setattr(hub, "_next_part", real)
    texts = [text for part in fetch(options) for text in pd.read_parquet(part)["text"]]
    assert len(texts) == len(set(texts)) == 120


def test_it_reads_like_any_source(dataset_dir: Path):
    options = {"name": str(dataset_dir), "field": "body"}
    source = make_source(SourceSpec("hub", options=options), 500)
    train, val = (list(source.documents(split)) for split in ("train", "val"))
    assert len(train) + len(val) == 120
    assert val


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"field": "text"}, "has no field 'text'; it has: body"),
        ({"split": "test"}, "split 'test'"),
        ({"name": "nobody/nothing-here"}, "can't be read: .*check the name and the network"),
    ],
)
def test_what_is_not_there_is_one_clear_line(dataset_dir: Path, changes, words):
    options = HubOptions(**{"name": str(dataset_dir), "field": "body", **changes})
    with pytest.raises(SpecError, match=words) as caught:
        fetch(options)
    assert "\n" not in str(caught.value)
