"""A scripted daemon: an HTTP server on a unix socket that answers from a table.

It speaks just enough HTTP for the two command lines, ours and Docker's, to be run against the
same answers.  Requests are recorded.  An answer is a `Reply`, or a function of the request that
returns one or takes over the socket and returns None.
"""

import json
import os
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True)
class Request:
    """One request as it came, without its version prefix."""

    method: str
    path: str
    query: str
    version: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """One answer; `body` may be bytes or something to send as JSON."""

    status: int = 200
    body: object = b""
    headers: dict[str, str] = field(default_factory=dict)

    def encode(self, method: str, version: str) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {
            "Api-Version": version,
            "Ostype": "linux",
            "Server": "Docker/28.2.2 (linux)",
            "Content-Type": "application/octet-stream"
            if isinstance(self.body, bytes)
            else "application/json",
            "Content-Length": str(len(body)),
        } | self.headers
        if self.status in (204, 304) or headers["Content-Length"] == "":
            del headers["Content-Length"]
        lines = [f"HTTP/1.1 {self.status} Status", *(f"{k}: {v}" for k, v in headers.items())]
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return head if method == "HEAD" else head + body


Answer = Reply | Callable[[Request, socket.socket], Reply | None]
_VERSION = re.compile(r"^/v(\d+\.\d+)(/.*)$")


class FakeDaemon:
    """A daemon at `path`; `routes` maps "METHOD /path" (a regular expression) to answers."""

    def __init__(self, path: Path, routes: dict[str, Answer], *, api_version: str = "1.51") -> None:
        self.path = path
        self.routes = routes
        self.api_version = api_version
        self.requests: list[Request] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._connections: list[socket.socket] = []

    @property
    def host(self) -> str:
        return f"unix://{self.path}"

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    def __enter__(self) -> "FakeDaemon":
        directory = os.open(self.path.parent, os.O_PATH)
        self._listener.bind(f"/proc/self/fd/{directory}/{self.path.name}")
        os.close(directory)
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()
        os.unlink(self.path)

    def script(self, pattern: str, answer: Answer) -> None:
        """Answer `pattern` so from now on, whatever the table says."""
        self.routes = {pattern: answer} | {key: value for key, value in self.routes.items() if key != pattern}

    def calls(self) -> list[str]:
        """`METHOD /path?query` of each request but the pings."""
        shown = [f"{r.method} {r.path}" + (f"?{r.query}" if r.query else "") for r in self.requests]
        return [call for call in shown if not call.endswith("/_ping")]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while True:
                try:
                    request = _read(connection)
                    if request is None:
                        return
                    self.requests.append(request)
                    reply = self._answer(request, connection)
                    if reply is None:
                        return
                    connection.sendall(reply.encode(request.method, self.api_version))
                    if reply.headers.get("Content-Length") == "":
                        return
                except OSError:
                    return

    def _answer(self, request: Request, connection: socket.socket) -> Reply | None:
        if request.path == "/_ping":
            return Reply(200, b"OK")
        if request.version and _number(request.version) > _number(self.api_version):
            text = f"client version {request.version} is too new."
            text += f" Maximum supported API version is {self.api_version}"
            return Reply(400, {"message": text})
        for pattern, answer in self.routes.items():
            if re.fullmatch(pattern, f"{request.method} {request.path}"):
                return answer if isinstance(answer, Reply) else answer(request, connection)
        return Reply(404, {"message": "page not found"})


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _read(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        body = _read_chunked(connection, body)
    else:
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
    path, _, query = target.partition("?")
    versioned = _VERSION.match(path)
    version, path = (versioned[1], versioned[2]) if versioned else ("", path)
    return Request(method, path, query, version, headers, body)


def _read_chunked(connection: socket.socket, data: bytes) -> bytes:
    body = b""
    while True:
        while b"\r\n" not in data:
            data += connection.recv(65536)
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        while len(data) < length + 2:
            data += connection.recv(65536)
        body += data[:length]
        data = data[length + 2 :]
        if not length:
            return body
