import gzip
import json
from pathlib import Path

import pytest

from train.config.spec import DataSpec, SourceSpec
from train.data.dataset import describe, sources_of
from train.data.prepared import outlook
from train.data.prepared.progress import PreparationProgress


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSpec:
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(outlook, "LONG_BYTES", 0)
    monkeypatch.setattr(outlook, "SAMPLE_BYTES", 1 << 15)
    for number in range(4):
        texts = (f"{number} {10**6 + i * i * 7919 % 10**6}\n" * 40 for i in range(3000))
        with gzip.open(tmp_path / f"{number}.json.gz", "wt") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    options = {"files": [f"{tmp_path}/*.json.gz"]}
    parts = {"text": SourceSpec("text", options=options)}
    return DataSpec(parts=parts, val_tokens=4096, val_rule="tokens")


def test_a_sample_says_how_many_tokens_there_are_and_tokenises_no_more(
    data: DataSpec, tmp_path: Path
):
    waiting = outlook.unprepared(data, sources_of(data))
    facts, (made,) = outlook.estimated(data, waiting, None)
    assert not (tmp_path / "cache" / "shards").exists()
    real = describe(data, 32)
    assert facts.n_train_tokens["text"] == pytest.approx(real.n_train_tokens["text"], rel=0.1)
    (directory,) = (tmp_path / "cache" / "shards").glob("[!.]*")
    written = sum(path.stat().st_size for path in directory.iterdir())
    assert made.token_bytes == pytest.approx(written, rel=0.1)
    assert made.text_bytes == sum(p.stat().st_size for p in tmp_path.glob("*.gz"))
    assert made.seconds > 0


def test_what_is_prepared_is_not_estimated(data: DataSpec):
    assert outlook.unprepared(data, sources_of(data))
    describe(data, 32)
    assert not outlook.unprepared(data, sources_of(data))


def test_a_line_of_progress_says_the_share_the_speed_and_the_time_left():
    display = PreparationProgress("preparing", 100_000_000, done=20_000_000)
    assert display.line(40_000_000, 10.0) == "preparing: 40% of the text, 2.0 MB/s, 30 s left"
    assert display.line(40_000_000, 1000.0).endswith("0.0 MB/s, 50 min left")
