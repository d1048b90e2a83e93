"""A registry that answers as a test tells it to, and remembers every request.

Without a script it serves the manifests and blobs it was given, as the distribution specification
asks.  `script` puts answers before that, for one method and path, in order; the last one stays.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Answer:
    """What the fake sends; `cut` closes the connection after so many bytes of the body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    endless: bool = False
    silent: bool = False
    """Say nothing until the fake is closed."""


@dataclass
class Seen:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


class FakeRegistry:
    """One HTTP server on 127.0.0.1; use as a context manager."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Seen] = []
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.least_piece = 0
        self.challenge = ""
        """The header of the 401 that a request without `accepts` gets."""
        self.accepts: str | None = None
        """The Authorization header that opens /v2/, when one is wanted."""
        self._scripts: dict[tuple[str, str], list[Answer]] = defaultdict(list)
        self._closed = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, TimeoutError, ssl.SSLError):
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

            def answer(self) -> None:
                fake._answer(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> FakeRegistry:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def script(self, method: str, path: str, *answers: Answer) -> None:
        """Answer `method path` with these, one after the other; the last one for ever."""
        self._scripts[method, path] = list(answers)

    def add_blob(self, data: bytes) -> str:
        self.blobs[digest(data)] = data
        return digest(data)

    def add_manifest(self, repository: str, tag: str, document: Any, media_type: str = OCI_MANIFEST) -> str:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        for name in (tag, digest(data)):
            self.manifests[repository, name] = (media_type, data)
        return digest(data)

    def add_image(self, repository: str, tag: str, layers: list[bytes], **config: Any) -> str:
        """An OCI image of uncompressed layers."""
        diff_ids = [self.add_blob(layer) for layer in layers]
        document = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            **config,
        }
        data = json.dumps(document).encode()
        return self.add_manifest(
            repository,
            tag,
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": {"mediaType": OCI_CONFIG, "digest": self.add_blob(data), "size": len(data)},
                "layers": [
                    {"mediaType": OCI_LAYER, "digest": diff_id, "size": len(layer)}
                    for diff_id, layer in zip(diff_ids, layers, strict=True)
                ],
            },
        )

    def seen(self, method: str, prefix: str = "") -> list[Seen]:
        return [item for item in self.requests if item.method == method and item.path.startswith(prefix)]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        seen = Seen(
            handler.command,
            parts.path,
            parse_qs(parts.query),
            dict(handler.headers),
            handler.rfile.read(length),
        )
        self.requests.append(seen)
        answers = self._scripts.get((seen.method, seen.path))
        if not answers:
            answers = [self._serve(seen)]
        self._send(handler, seen, answers.pop(0) if len(answers) > 1 else answers[0])

    def _send(self, handler: BaseHTTPRequestHandler, seen: Seen, answer: Answer) -> None:
        if answer.silent:
            self._closed.wait(30)
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        headers = dict(answer.headers)
        if not answer.endless:
            headers.setdefault("Content-Length", str(len(answer.body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if seen.method == "HEAD":
            return
        for piece in _pieces(answer):
            handler.wfile.write(piece)
        if answer.cut is not None or answer.endless:
            handler.wfile.flush()
            handler.close_connection = True

    def _serve(self, seen: Seen) -> Answer:
        if self.accepts is not None and seen.headers.get("Authorization") != self.accepts:
            body = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
            return Answer(401, json.dumps(body).encode(), {"WWW-Authenticate": self.challenge})
        parts = seen.path.removeprefix("/v2/").split("/")
        if "manifests" in parts:
            return self._serve_manifest(seen, "/".join(parts[: parts.index("manifests")]), parts[-1])
        if "uploads" in parts:
            return self._serve_upload(seen, parts)
        if "blobs" in parts:
            return self._serve_blob(seen, parts[-1])
        return Answer(404)

    def _serve_manifest(self, seen: Seen, repository: str, name: str) -> Answer:
        if seen.method == "PUT":
            found = self.add_manifest(repository, name, seen.body, seen.headers["Content-Type"])
            return Answer(201, headers={"Docker-Content-Digest": found})
        if (repository, name) not in self.manifests:
            body = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            return Answer(404, json.dumps(body).encode())
        media_type, data = self.manifests[repository, name]
        return Answer(200, data, {"Content-Type": media_type, "Docker-Content-Digest": digest(data)})

    def _serve_blob(self, seen: Seen, name: str) -> Answer:
        data = self.blobs.get(name)
        if data is None:
            return Answer(404)
        wanted = seen.headers.get("Range", "")
        if not wanted:
            return Answer(200, data)
        start = int(wanted.removeprefix("bytes=").split("-")[0])
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        return Answer(206, data[start:], headers)

    def _serve_upload(self, seen: Seen, parts: list[str]) -> Answer:
        repository = "/".join(parts[: parts.index("blobs")])
        if seen.method == "POST":
            mounted = seen.query.get("mount", [""])[0]
            if mounted in self.blobs and seen.query.get("from"):
                return Answer(201)
            key = str(len(self.uploads) + 1)
            self.uploads[key] = bytearray()
            headers = {"Location": f"/v2/{repository}/blobs/uploads/{key}?_state=x"}
            if self.least_piece:
                headers["OCI-Chunk-Min-Length"] = str(self.least_piece)
            return Answer(202, headers=headers)
        upload = self.uploads[parts[-1]]
        upload += seen.body
        headers = {
            "Location": f"/v2/{repository}/blobs/uploads/{parts[-1]}?_state=y",
            "Range": f"0-{max(len(upload) - 1, 0)}",
        }
        if seen.method == "GET":
            return Answer(204, headers=headers)
        if seen.method == "PATCH":
            return Answer(202, headers=headers)
        if digest(bytes(upload)) != seen.query["digest"][0]:
            return Answer(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"digest invalid"}]}')
        self.add_blob(bytes(upload))
        return Answer(201)


def _pieces(answer: Answer) -> Iterator[bytes]:
    if answer.endless:
        while True:
            yield bytes(65536)
    yield answer.body if answer.cut is None else answer.body[: answer.cut]
