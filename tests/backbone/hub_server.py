"""A small model hub on 127.0.0.1: just the requests by which huggingface_hub fetches a file.

`with HubServer(folder) as hub:` serves `folder/OWNER/NAME/FILE` as model repositories; `HF_ENDPOINT=hub.url`
must be set before huggingface_hub is imported.
"""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_COMMIT = "0123456789abcdef0123456789abcdef01234567"  # every repository has this one


class HubServer:
    """Serves a folder of repositories while in the `with` block; `requests` is what was asked for.

    Args:
        root: the folder.
        port: 0 for any that is free.
        silent: accept connections and never answer, as a dead network does.
    """

    def __init__(self, root: Path, *, port: int = 0, silent: bool = False) -> None:
        self.root, self.silent = root.resolve(), silent
        self.requests: list[str] = []
        self.status: int | None = None  # answer everything with this, where set
        self._released = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.requests.append(f"{self.command} {self.path}")
                if hub.silent:
                    hub._released.wait(timeout=120)
                    self.close_connection = True
                    return
                status, body, headers = hub.answer(unquote(urlsplit(self.path).path))
                self.send_response(status)
                for name, value in {
                    "Content-Length": str(len(body)),
                    "Connection": "close",
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> HubServer:
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more."""
        self._released.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers for `/OWNER/NAME/resolve/REVISION/FILE`."""
        if self.status is not None:
            return self.status, b"", {}
        parts = path.strip("/").split("/")
        repository = self.root.joinpath(*parts[:2])
        if len(parts) < 5 or parts[2] != "resolve" or not repository.is_dir():
            return 404, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "no such repository"}
        file = repository.joinpath(*parts[4:]).resolve()
        if not file.is_relative_to(repository) or not file.is_file():
            return 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": _COMMIT}
        body = file.read_bytes()
        return 200, body, {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": _COMMIT}
