"""Downloads against a server on this machine: what is kept, refused, and found again."""

import gc
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from analysis.__main__ import COMMAND
from analysis.data.published.columns import renamed
from analysis.data.published.download import digest, read_published, table_file
from analysis.data.published.registry import TABLES, PublishedTable, RemoteFile
from analysis.data.table_error import TableError
from analysis.fits.surface import Surface
from tests.support.published import published_file
from train.commands.command_line import run_command


def content() -> str:
    """A published file: nine runs of a known surface under its authors' own column names."""
    rows = [
        (n, d, float(Surface(1.7, 400.0, 410.0, 0.34, 0.28).loss(n, d)))
        for n in (1e8, 3e8, 1e9) for d in (1e9, 4e9, 2e10)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["Size", "Tokens", "loss"]).to_csv(index=False)


@dataclass
class Host:
    """A server of one file: its address, its content, and how often it was asked."""

    url: str
    body: bytes
    status: int = 200
    asked: int = 0


@pytest.fixture
def host() -> Iterator[Host]:
    served = Host("", content().encode())

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked += 1
            self.send_response(served.status)
            self.send_header("Content-Length", str(len(served.body)))
            self.end_headers()
            self.wfile.write(served.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    served.url = f"http://127.0.0.1:{server.server_port}/data/runs.csv"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()
    gc.collect()  # a connection that was left open is told here, not in another test


@pytest.fixture
def table(host: Host, tmp_path, monkeypatch) -> PublishedTable:
    """A registry entry `made` for the host's file, an empty cache, and no folder of tables."""
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ISOFLOP_PUBLISHED", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "original.csv").write_text(content())
    convert = renamed(n_params="Size", n_tokens="Tokens")
    entry = PublishedTable(
        name="made",
        title="nine runs of a known surface",
        paper="nobody 2026",
        licence="none stated",
        files=(RemoteFile("runs.csv", host.url, hashlib.sha256(host.body).hexdigest()),),
        convert=convert,
        file="made_runs.csv",
        digest=digest(convert([pd.read_csv(tmp_path / "original.csv")])),
        columns={"n_params": "Size"},
    )
    register(monkeypatch, entry)
    return entry


def register(monkeypatch, entry: PublishedTable) -> None:
    monkeypatch.setitem(TABLES, "made", entry)


def test_the_right_file_is_downloaded_once_and_read_offline_afterwards(
    host, table, tmp_path, capfd
):
    runs = read_published("published:made")
    assert len(runs) == 9
    assert runs.sources == ("published:made",)
    assert host.asked == 1
    assert "100%" in capfd.readouterr().err
    host.status = 503
    assert read_published("made").numbers("loss").tolist() == runs.numbers("loss").tolist()
    assert host.asked == 1
    cache = tmp_path / "cache" / "published" / "made"
    assert sorted(path.name for path in cache.iterdir()) == ["made_runs.csv", "runs.csv"]


def test_a_file_of_another_hash_is_refused_and_not_kept(host, table, tmp_path):
    host.body += b"1e8,1e9,2.0\n"
    with pytest.raises(TableError, match=r"gave another file than the one recorded"):
        table_file("made")
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


def test_a_file_without_a_recorded_hash_is_known_by_its_rows(host, table, monkeypatch):
    register(monkeypatch, replace(table, files=(replace(table.files[0], sha256=None),)))
    assert len(pd.read_csv(table_file("made"))) == 9
    register(monkeypatch, replace(table, name="other", digest="0" * 64,
                                  files=(replace(table.files[0], sha256=None),)))  # fmt: skip
    with pytest.raises(TableError, match=r"runs.csv does not hold the rows of published:other"):
        table_file("made")


def test_without_a_network_the_message_says_where_to_place_the_file(
    host, table, tmp_path, monkeypatch
):
    lost = replace(table.files[0], url="http://127.0.0.1:9/runs.csv")
    register(monkeypatch, replace(table, files=(lost,)))
    place = tmp_path / "cache" / "published" / "made" / "runs.csv"
    with pytest.raises(TableError) as caught:
        table_file("made")
    message = str(caught.value)
    assert "can't be downloaded from http://127.0.0.1:9/runs.csv" in message
    assert f"place it at {place}" in message
    assert "set ISOFLOP_PUBLISHED to a folder that holds runs.csv" in message
    place.write_bytes(host.body)
    assert len(read_published("made")) == 9
    assert host.asked == 0


def test_an_answer_of_not_found_is_no_table(host, table):
    host.status = 404
    with pytest.raises(TableError, match=r"can't be downloaded .*404"):
        table_file("made")


@pytest.mark.parametrize("kept", ["runs.csv", "made_runs.csv"])
def test_a_given_folder_comes_before_the_network(host, table, tmp_path, monkeypatch, kept):
    given = tmp_path / "given"
    given.mkdir()
    frame = pd.read_csv(tmp_path / "original.csv")
    made = table.convert([frame]) if kept == table.file else frame
    made.to_csv(given / kept, index=False)
    monkeypatch.setenv("ISOFLOP_PUBLISHED", str(given))
    assert len(read_published("made")) == 9
    assert host.asked == 0
    with (given / kept).open("a") as file:
        file.write("1e8,1e9,2.0\n")
    (tmp_path / "cache").exists() and [p.unlink() for p in (tmp_path / "cache").rglob("*.csv")]
    with pytest.raises(TableError, match=f"{kept} .*expected"):
        table_file("made")


def test_a_folder_without_the_file_falls_back_on_the_download(host, table, tmp_path, monkeypatch):
    monkeypatch.setenv("ISOFLOP_PUBLISHED", str(tmp_path))
    assert len(read_published("made")) == 9
    assert host.asked == 1


def test_rows_that_were_changed_in_the_cache_are_noticed(table):
    path = table_file("made")
    path.write_text(path.read_text().replace("n_params", "N"))
    with pytest.raises(TableError, match=r"does not hold the rows .* delete it"):
        table_file("made")


def test_a_cache_that_cannot_be_written_says_so(table, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "file"))
    with pytest.raises(TableError, match="set ISOFLOP_CACHE to a folder that can"):
        table_file("made")


def test_the_command_downloads_describes_and_fits(host, table, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        _analyze("published:made", f"out={tmp_path / 'out'}", "fit.n_resamples=0")
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("published:made: nine runs of a known surface (nobody 2026; licence")
    assert "9 runs fitted, 0 excluded" in printed
    assert host.url in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("published:nothing", "published:nothing is unknown; expected one of hoffmann2022"),
        ("published:made", "can't be downloaded"),
    ],
)
def test_a_mistake_is_one_line_and_a_failing_exit(host, table, tmp_path, capsys, name, message):
    host.status = 500
    with pytest.raises(SystemExit) as stopped:
        _analyze(name, f"out={tmp_path / 'out'}")
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_scores_and_schedules_are_no_runs(tmp_path, monkeypatch):
    published_file("multipowerlaw_csv_100")
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path))
    with pytest.raises(TableError, match=r"nine loss curves .* no law in N and D"):
        read_published("multipowerlaw")


def test_published_scores_reach_the_emergence_report(tmp_path, monkeypatch, capsys):
    published_file("obsscaling_benchmarks.csv")
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as stopped:
        _analyze("published:obsscaling", f"out={tmp_path / 'out'}")
    assert stopped.value.code == 0
    assert Path(tmp_path / "out" / "emergence.json").is_file()
    assert "scores of 84 public models" in capsys.readouterr().out


def _analyze(*words):
    run_command(COMMAND, list(words), "isoflop analyze")
