"""A registry on a loopback port, with one image, that asks for a token as Docker Hub does."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_CREATED = "1990-01-01T00:00:00Z"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry(ThreadingHTTPServer):
    """Serves `<address>/base:1`, an image with one file, /greeting, which no engine has seen before.

    Format: https://distribution.github.io/distribution/spec/api/ and, for the token, .../spec/auth/token/.
    """

    daemon_threads = True

    def __init__(self, login: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.login = login
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.image = f"{self.address}/base:1"
        self.drips = threading.Event()
        """While set, a layer comes at a hundred bytes a second and does not end."""
        self.asked_for_layer = threading.Event()
        self.hung_up = threading.Event()
        self.blobs: dict[str, bytes] = {}
        layer = _layer({"greeting": uuid.uuid4().bytes})
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": _CREATED,
            "history": [{"created": _CREATED, "created_by": "test"}],
            "config": {"Env": ["FROM_BASE=yes"], "WorkingDir": "/base", "Entrypoint": ["/start"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        self.layer = self._keep(gzip.compress(layer, mtime=0))
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": self._described(_CONFIG, self._keep(json.dumps(config).encode())),
                "layers": [self._described(_LAYER, self.layer)],
            }
        ).encode()

    def _keep(self, blob: bytes) -> str:
        self.blobs[_digest(blob)] = blob
        return _digest(blob)

    def _described(self, kind: str, digest: str) -> dict[str, object]:
        return {"mediaType": kind, "size": len(self.blobs[digest]), "digest": digest}


class _Handler(BaseHTTPRequestHandler):
    server: Registry  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        if self.path.startswith("/token"):
            self._give_token()
        elif self.headers.get("Authorization") != "Bearer sesame":
            where = f'Bearer realm="http://{self.server.address}/token",service="test"'
            self._answer(401, b"{}", ("WWW-Authenticate", where))
        elif "/manifests/" in self.path:
            digest = _digest(self.server.manifest)
            is_known = self.path in {"/v2/base/manifests/1", f"/v2/base/manifests/{digest}"}
            body = self.server.manifest if is_known else b"{}"
            self._answer(200 if is_known else 404, body, ("Docker-Content-Digest", digest), kind=_MANIFEST)
        elif "/blobs/" in self.path:
            self._give_blob(self.path.rpartition("/")[2])
        else:
            self._answer(200, b"{}")

    do_HEAD = do_GET  # noqa: N815 - the standard library's name

    def _give_token(self) -> None:
        login = self.server.login
        wanted = f"Basic {base64.b64encode(login.encode()).decode()}" if login else None
        is_welcome = wanted is None or self.headers.get("Authorization") == wanted
        self._answer(200 if is_welcome else 401, b'{"token": "sesame"}' if is_welcome else b"{}")

    def _give_blob(self, digest: str) -> None:
        blob = self.server.blobs[digest]
        if digest == self.server.layer and self.server.drips.is_set():
            self._answer(200, blob[:10], length=10**9)
            self.server.asked_for_layer.set()
            try:
                while self.server.drips.is_set():
                    self.wfile.write(b"x")
                    self.server.hung_up.wait(0.01)
            except OSError:
                self.server.hung_up.set()
        else:
            self._answer(200, blob)

    def _answer(
        self,
        status: int,
        body: bytes,
        *headers: tuple[str, str],
        kind: str = "application/json",
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(length or len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing."""


def _layer(files: dict[str, bytes]) -> bytes:
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return buffer.getvalue()


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


@contextmanager
def open_registry(login: str | None = None) -> Generator[Registry]:
    """Serve; with `login` ("name:password") only to whoever has it."""
    server = Registry(login)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.drips.clear()
        server.shutdown()
        thread.join()
        server.server_close()
