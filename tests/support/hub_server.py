"""A stand-in for the API of Hugging Face's hub, which keeps what is sent to it."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Files = dict[tuple[str, str, str], dict[str, bytes]]
"""(kind, repository, revision) -> path -> content."""


class Hub(ThreadingHTTPServer):
    """The server with its repositories and their files; `refuses` answers 403 to every commit."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: set[tuple[str, str]] = set()
        self.files: Files = {}
        self.refuses = False


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        return

    @property
    def _here(self) -> str:
        return f"http://{self.headers['Host']}"

    def do_GET(self) -> None:
        self._answer(404, {"error": "not here"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.split("?")[0]
        if path == "/api/repos/create":
            asked = json.loads(body)
            kind = asked.get("type") or "model"
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            self.server.repos.add((kind, name))
            self._answer(200, {"url": f"{self._here}/{name}", "name": name, "id": name})
            return
        if path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
            return
        found = re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)/(\w+)/(.+)", path)
        assert found is not None, path
        kind, repo, verb, revision = found.groups()
        key = (kind, repo, revision)
        if verb == "branch":
            self.server.files.setdefault(key, {})
            self._answer(200, {})
        elif verb == "preupload":
            files = json.loads(body)["files"]
            modes = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files
            ]
            self._answer(200, {"files": modes})
        elif self.server.refuses:
            self._answer(403, {"error": "no"})
        else:
            assert verb == "commit", path
            for line in body.decode().splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    content = base64.b64decode(row["value"]["content"])
                    self.server.files.setdefault(key, {})[row["value"]["path"]] = content
            self._answer(
                200,
                {
                    "commitUrl": f"{self._here}/{repo}/commit/{'0' * 40}",
                    "commitOid": "0" * 40,
                    "pullRequestUrl": None,
                }
                | {"success": True},
            )

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """The stand-in at a port of the system's, closed on every way out."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
