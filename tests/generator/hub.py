"""A model hub on loopback, as far as the real client asks for it: model info, the tree, and files by commit."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def served(repository: str, folder: Path) -> Iterator[str]:
    """Serve a folder as `repository`, whose branch `main` is at `COMMIT`; gives the hub's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def _answer(self, *, with_body: bool) -> None:
            path = urlsplit(self.path).path
            files = {one.relative_to(folder).as_posix(): one for one in folder.rglob("*") if one.is_file()}
            api = f"/api/models/{repository}"
            if path.startswith(f"{api}/tree/"):
                listing = [
                    {"type": "file", "path": name, "size": one.stat().st_size, "oid": _sha1(one)}
                    for name, one in files.items()
                ]
                self._send(json.dumps(listing).encode(), with_body=with_body)
            elif path in (api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
                info = {"id": repository, "modelId": repository, "sha": COMMIT, "private": False, "tags": [],
                        "downloads": 0, "likes": 0, "siblings": [{"rfilename": name} for name in files]}  # fmt: skip
                self._send(json.dumps(info).encode(), with_body=with_body)
            elif path.startswith(f"/{repository}/resolve/") and (name := path.split("/", 5)[5]) in files:
                self._send(files[name].read_bytes(), with_body=with_body, etag=_sha1(files[name]))
            else:
                self.send_error(404)

        def _send(self, body: bytes, *, with_body: bool, etag: str | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Repo-Commit", COMMIT)
            if etag is not None:
                self.send_header("ETag", f'"{etag}"')
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
