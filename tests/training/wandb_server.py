"""What a W&B client needs of its server, on this machine, and what it has told it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WandbServer(ThreadingHTTPServer):
    """Answers like a server that knows one user and takes every run."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.queries: list[dict[str, Any]] = []
        self.streamed: list[dict[str, Any]] = []
        self.known: set[str] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def begun(self) -> list[dict[str, Any]]:
        """The variables of each request that begins or changes a run."""
        return [each["variables"] for each in self.queries if "upsertBucket" in each["query"]]

    def exit_codes(self) -> list[int]:
        """How runs ended, in turn."""
        return [each["exitcode"] for each in self.streamed if each.get("complete")]

    def history(self, name: str) -> list[float]:
        """All values of a figure."""
        files = [each.get("files") or {} for each in self.streamed]
        lines = [line for file in files for line in file.get("wandb-history.jsonl", {}).get("content", [])]
        rows = [json.loads(line) for line in lines]
        return [row[name] for row in rows if name in row]

    def answer(self, path: str, content: bytes) -> dict[str, Any]:
        if path.startswith("/graphql"):
            asked = json.loads(content)
            self.queries.append(asked)
            return {"data": self._data(asked["query"], asked.get("variables") or {})}
        if path.endswith("/file_stream"):
            self.streamed.append(json.loads(content))
        return {}

    def _data(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "upsertBucket" in query:
            inserted = variables["name"] not in self.known
            self.known.add(variables["name"])
            project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": "me"}}
            bucket = {"id": "r", "name": variables["name"], "displayName": "run", "project": project}
            told = {"description": "", "config": "{}", "sweepName": None, "historyLineCount": 0}
            return {"upsertBucket": {"bucket": {**bucket, **told}, "inserted": inserted}}
        if "viewer" in query:
            user = {"id": "u", "entity": "me", "username": "me", "email": "me@example.org", "flags": "{}"}
            server = {"cliVersionInfo": {}, "latestLocalVersionInfo": None, "features": []}
            return {"viewer": {**user, "teams": {"edges": []}}, "serverInfo": server}
        if "createRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{self.address}/up"} for name in variables.get("files", [])]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        return {"serverInfo": {"features": []}} if "features" in query else {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        """Until the client leaves, however it does."""
        with contextlib.suppress(ConnectionResetError):
            super().handle()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        assert isinstance(self.server, WandbServer)
        content = json.dumps(self.server.answer(self.path, self._content())).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_HEAD = _answer

    def _content(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        content = b""
        while length := int(self.rfile.readline().strip() or b"0", 16):
            content += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return content


@contextlib.contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """A server for as long as the block lasts."""
    server = WandbServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
