"""A W&B server for tests: as much of its protocol as wandb needs, and ways to fail.

It keeps every run's history by offset, as the real one does, so that rows sent twice for one offset
replace each other and rows sent again at a later offset are duplicates that a test can see.
"""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODES = ("ok", "mute", "500", "401", "no-runs")
MUTE_SECONDS = 600.0
"""How long a mute server keeps a request open; it ends them all when it is closed."""


@dataclass
class ServedRun:
    """One run as the server knows it; `exit_codes` has one entry for every end that it was told."""

    entity: str
    project: str
    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    exit_codes: list[int | None] = field(default_factory=list)
    display_name: str = ""
    group: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    n_starts: int = 0

    def steps(self) -> list[int]:
        """The training steps of the history, in the order that the server holds."""
        return [row["step"] for row in self.rows if "step" in row]


class WandbServer:
    """A server on a loopback port for a with block; `mode` may be changed at any time.

    mute accepts every request and never answers; no-runs knows its users and fails at all else;
    `die` closes the port. Each API key is a user of
    its own, whose default entity is `user-` and the key's first four characters.
    """

    def __init__(self, mode: str = "ok") -> None:
        assert mode in MODES
        self.mode = mode
        self.runs: dict[tuple[str, str, str], ServedRun] = {}
        self.n_requests = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()

    def __enter__(self) -> "WandbServer":
        self._http = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """Close the port and every connection, as a server that is killed does."""
        if self.closing.is_set():
            return
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._http.close_connections()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def environment(self, key: str = "abcd" * 10) -> dict[str, str]:
        """What a process needs in its environment to use this server as a user."""
        return {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": key,
            "WANDB_MODE": "online",
            "WANDB_ERROR_REPORTING": "false",
        }

    def only_run(self) -> ServedRun:
        """The one run that the server knows."""
        [run] = self.runs.values()
        return run

    def run(self, entity: str, project: str, name: str) -> ServedRun:
        return self.runs.setdefault((entity, project, name), ServedRun(entity, project, name))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: list[Any] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.append(request)
        super().process_request(request, client_address)

    def close_connections(self) -> None:
        for request in self._open:
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is part of many tests."""


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            return

        def do_GET(self) -> None:
            self._respond({})

        def do_PUT(self) -> None:
            self._body()
            self._respond({})

        def do_POST(self) -> None:
            body = self._body()
            with server.lock:
                server.n_requests += 1
            try:
                content = json.loads(body)
            except ValueError:
                content = {}
            if self.path.endswith("/graphql"):
                with server.lock:
                    answer = _graphql(server, self._user(), content)
                self._respond(answer, knows="viewer {" in content.get("query", ""))
            elif self.path.endswith("/file_stream"):
                # A server that fails has not kept what it was sent.
                if server.mode == "ok":
                    with server.lock:
                        _file_stream(server, self.path, content)
                self._respond({"exitcode": None, "limits": {}})
            else:
                self._respond({})

        def _user(self) -> str:
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            return "user-" + base64.b64decode(given).decode().removeprefix("api:")[:4]

        def _respond(self, answer: Any, knows: bool = False) -> None:
            mode = server.mode
            if mode == "no-runs":
                mode = "ok" if knows else "500"
            if mode == "mute":
                server.closing.wait(MUTE_SECONDS)
                self.close_connection = True
                return
            if mode == "500":
                answer, code = {"error": "internal"}, 500
            elif mode == "401":
                answer, code = {"errors": [{"message": "user is not logged in"}]}, 401
            else:
                code = 200
            content = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "") == "chunked":
                body = b""
                while n_bytes := int(self.rfile.readline().strip() or b"0", 16):
                    body += self.rfile.read(n_bytes)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    return Handler


def _graphql(server: WandbServer, user: str, content: dict[str, Any]) -> dict[str, Any]:
    query, given = content.get("query", ""), content.get("variables") or {}
    if server.mode not in ("ok", "no-runs"):
        return {}
    if "upsertBucket" in query:
        return {"data": {"upsertBucket": _upserted(server, user, given)}}
    if "historyLineCount" in query:
        return {"data": {"model": _resumable(server, user, given)}}
    if "createRunFiles" in query:
        files = [{"name": name, "uploadUrl": f"{server.url}/upload"} for name in given["files"]]
        return {"data": {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}}}
    if "viewer" in query:
        viewer = {"id": "VXNlcjox", "entity": user, "username": user, "flags": "{}"}
        return {"data": {"viewer": viewer | {"teams": {"edges": []}}, "serverInfo": None}}
    if "features" in query:
        return {"data": {"serverInfo": {"features": []}}}
    return {"data": {}}


def _upserted(server: WandbServer, user: str, given: dict[str, Any]) -> dict[str, Any]:
    """Create or update a run; the answer names it with its entity and its length so far."""
    entity, project = given.get("entity") or user, given.get("project") or "uncategorized"
    run = server.run(entity, project, given.get("name") or given["id"])
    new, run.n_starts = run.n_starts == 0, run.n_starts + 1
    run.display_name = given.get("displayName") or run.display_name
    run.group = given.get("groupName") or run.group
    run.tags = given.get("tags") or run.tags
    run.config = json.loads(given.get("config") or "{}") or run.config
    bucket = {
        "id": base64.b64encode(f"Run:{run.name}".encode()).decode(),
        "name": run.name,
        "displayName": run.display_name or run.name,
        "description": "",
        "config": json.dumps(run.config),
        "sweepName": None,
        "project": {"id": "p", "name": project, "entity": {"id": "e", "name": entity}},
        "historyLineCount": len(run.rows),
    }
    return {"bucket": bucket, "inserted": new}


def _resumable(server: WandbServer, user: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a client asks before it resumes a run: its length and its last row."""
    entity, project = given.get("entity") or user, given.get("project") or "uncategorized"
    run = server.runs.get((entity, project, given.get("name") or ""))
    bucket = None
    if run is not None and run.n_starts:
        last = run.rows[-1] if run.rows else {}
        bucket = {
            "id": "x",
            "name": run.name,
            "summaryMetrics": json.dumps(run.summary or last),
            "displayName": run.display_name,
            "logLineCount": 0,
            "historyLineCount": len(run.rows),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(last)]),
            "eventsTail": json.dumps([json.dumps({})]),
            "config": json.dumps(run.config),
            "wandbConfig": '{"t":1}',
            "tags": run.tags,
        }
    return {"id": "m", "name": project, "entity": {"id": "e", "name": entity}, "bucket": bucket}


def _file_stream(server: WandbServer, path: str, content: dict[str, Any]) -> None:
    entity, project, name = path.split("/")[-4:-1]
    run = server.run(entity, project, name)
    files = content.get("files") or {}
    history = files.get("wandb-history.jsonl")
    if history:
        rows = [json.loads(line) for line in history["content"]]
        run.rows[history["offset"] : history["offset"] + len(rows)] = rows
    summary = files.get("wandb-summary.json")
    if summary:
        run.summary = json.loads(summary["content"][-1])
    if content.get("complete") is not None:
        run.exit_codes.append(content.get("exitcode"))


@contextmanager
def used_here(monkeypatch: Any, server: WandbServer, key: str = "abcd" * 10) -> Iterator[None]:
    """Have this very process use a server as a launch of its own, as one user."""
    import wandb

    from train.trackers.wandb_service import OFFLINE_REASON

    with monkeypatch.context() as patch:
        for name, value in server.environment(key).items():
            patch.setenv(name, value)
        # Set first, so that what the launch decides is undone as well.
        patch.setenv(OFFLINE_REASON, "")
        patch.delenv(OFFLINE_REASON)
        # wandb reads address and key once for each service process.
        wandb.teardown()
        try:
            yield
        finally:
            wandb.teardown()
