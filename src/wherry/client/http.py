"""HTTP/1.1 as a client, on a blocking byte stream.

Strict about framing, because the other end of a tcp endpoint is not ours: a head has at most
64 KiB, a length must be digits, lengths that disagree are refused, a chunk that ends early is a
failure and never a short body.

Spec: RFC 9112, Message Body Length.
"""

from __future__ import annotations

from wherry.client.failures import ProtocolError
from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from wherry.client.transports import Stream

HEAD_LIMIT_BYTES = 64 * 1024
LINE_LIMIT_BYTES = 16 * 1024 * 1024
CHUNK_LINE_LIMIT_BYTES = 1024
READ_BYTES = 256 * 1024
_HEX = frozenset(b"0123456789abcdefABCDEF")


class Response:
    """The head of an answer, and its body to be read once."""

    __slots__ = ("body", "headers", "reason", "status")

    def __init__(self, status: int, reason: str, headers: dict[str, str], body: Body) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body


class Connection:
    """One connection: requests go out and answers come back in turn.

    `reusable` tells whether the last answer was read to its end and the connection may stay.
    """

    __slots__ = ("_buffer", "reusable", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.reusable = True
        self._buffer = b""

    def close(self) -> None:
        self.stream.close()

    def send(
        self,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        body: bytes | Iterable[bytes] | None = None,
    ) -> None:
        """Send a request.  Bytes go with their length, an iterable in chunks.

        A peer that stops reading a body may have answered already: such a failure to write is
        left for `receive` to explain.
        """
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {_header_value(value)}" for name, value in headers]
        if isinstance(body, bytes):
            lines.append(f"Content-Length: {len(body)}")
        elif body is not None:
            lines.append("Transfer-Encoding: chunked")
        elif method in ("POST", "PUT"):
            lines.append("Content-Length: 0")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        self.reusable = False
        if body is None or isinstance(body, bytes):
            self.stream.sendall(head + (body or b""))
            return
        self.stream.sendall(head)
        try:
            for piece in body:
                if piece:
                    self.stream.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.stream.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self, method: str) -> Response:
        """The next answer; interim ones (100) are skipped.

        Raises:
            ProtocolError: not HTTP, or cut short.
        """
        while True:
            status, reason, headers = self._receive_head()
            if status == 101 or status >= 200:
                break
        body = self._body_of(method, status, headers)
        return Response(status, reason, headers, body)

    def take_leftover(self) -> bytes:
        """Bytes that came behind the head of an upgraded connection."""
        leftover, self._buffer = self._buffer, b""
        return leftover

    def _receive_head(self) -> tuple[int, str, dict[str, str]]:
        head = self._buffer
        while (end := head.find(b"\r\n\r\n")) < 0:
            if len(head) > HEAD_LIMIT_BYTES:
                raise ProtocolError("the head of the answer is longer than 64 KiB")
            more = self._receive_some()
            if not more:
                raise ProtocolError("EOF" if not head else "unexpected EOF")
            head += more
        if end > HEAD_LIMIT_BYTES:
            raise ProtocolError("the head of the answer is longer than 64 KiB")
        self._buffer = head[end + 4 :]
        lines = head[:end].decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        code, _, reason = rest.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or len(code) != 3 or not code.isdecimal():
            raise ProtocolError(f"malformed HTTP response {lines[0][:80]!r}")
        headers = _headers(lines[1:])
        if version == "HTTP/1.0":
            headers.setdefault("connection", "close")
        return int(code), reason, headers

    def _body_of(self, method: str, status: int, headers: dict[str, str]) -> Body:
        stays = headers.get("connection", "").lower() != "close"
        encoding = headers.get("transfer-encoding", "").lower()
        length = headers.get("content-length")
        if status == 101:
            return Body(self, _nothing(), False)
        if method == "HEAD" or status in (204, 304):
            return Body(self, _nothing(), stays)
        if encoding:
            if encoding != "chunked" or length is not None:
                raise ProtocolError(f"unsupported framing of the answer: {encoding!r}, length {length}")
            return Body(self, self._chunked(), stays)
        if length is not None:
            if not length.isdecimal() or not length.isascii():
                raise ProtocolError(f"malformed Content-Length {length[:40]!r}")
            return Body(self, self._counted(int(length)), stays)
        return Body(self, self._until_close(), False)

    def _receive_some(self) -> bytes:
        try:
            return self.stream.recv(READ_BYTES)
        except ConnectionResetError:
            return b""

    def _take(self, limit: int) -> bytes:
        """Up to `limit` bytes, from the buffer first; empty at the end of the stream."""
        data = self._buffer or self._receive_some()
        self._buffer = data[limit:]
        return data[:limit]

    def _counted(self, left: int) -> Iterator[bytes]:
        while left:
            data = self._take(left)
            if not data:
                raise ProtocolError("unexpected EOF")
            left -= len(data)
            yield data

    def _until_close(self) -> Iterator[bytes]:
        while data := self._take(READ_BYTES):
            yield data

    def _chunked(self) -> Iterator[bytes]:
        while True:
            size = self._line().partition(b";")[0].strip()
            if not size or len(size) > 16 or not _HEX.issuperset(size):
                raise ProtocolError(f"malformed chunk size {size[:40]!r}")
            left = int(size, 16)
            if not left:
                break
            yield from self._counted(left)
            if self._line():
                raise ProtocolError("a chunk is longer than its size says")
        while self._line():
            pass  # trailers

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > CHUNK_LINE_LIMIT_BYTES:
                raise ProtocolError("malformed chunk: no end of its first line")
            more = self._receive_some()
            if not more:
                raise ProtocolError("unexpected EOF")
            self._buffer += more
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line


class Body:
    """The bytes of an answer."""

    __slots__ = ("_close", "_connection", "_pieces", "_stays")

    def __init__(self, connection: Connection, pieces: Iterator[bytes], stays: bool) -> None:
        self._connection = connection
        self._pieces = pieces
        self._stays = stays
        self._close: Callable[[], None] | None = None

    def on_close(self, action: Callable[[], None]) -> None:
        """Call `action` when the body was read to its end or given up."""
        self._close = action

    def pieces(self) -> Iterator[bytes]:
        """The bytes as they come; a reader that stops early gives up the connection.

        Raises:
            ProtocolError: the body ends before it is complete.
        """
        try:
            yield from self._pieces
            self._connection.reusable = self._stays
        finally:
            self.close()

    def read(self, limit_bytes: int = 256 * 1024 * 1024) -> bytes:
        """All of it.

        Raises:
            ProtocolError: cut short, or longer than `limit_bytes`.
        """
        parts, size = [], 0
        for piece in self.pieces():
            parts.append(piece)
            size += len(piece)
            if size > limit_bytes:
                self.close()
                raise ProtocolError(f"the answer is longer than {limit_bytes} bytes")
        return b"".join(parts)

    def json_values(self) -> Iterator[Any]:
        """The values of a stream of JSON, one a line (or concatenated on one).

        Raises:
            ProtocolError: no JSON, or an endless line.
        """
        rest = b""
        for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > LINE_LIMIT_BYTES:
                raise ProtocolError("a record of the stream is longer than 16 MiB")
            for line in lines:
                yield from _values(line)
        yield from _values(rest)

    def close(self) -> None:
        if self._close is not None:
            action, self._close = self._close, None
            action()


def _values(line: bytes) -> Iterator[Any]:
    line = line.strip(b" \t\r\x1e")
    if not line:
        return
    try:
        try:
            yield json.loads(line)
        except ValueError:
            # dockerd separates records by CRLF, older engines by nothing at all.
            for part in line.replace(b"}{", b"}\n{").split(b"\n"):
                yield json.loads(part)
    except ValueError as error:
        raise ProtocolError(f"the stream holds a record that is not JSON: {error}") from None


def _nothing() -> Iterator[bytes]:
    return iter(())


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ProtocolError(f"malformed header line {line[:80]!r}")
        name, value = name.lower(), value.strip(" \t")
        if name in headers and name in ("content-length", "transfer-encoding") and headers[name] != value:
            raise ProtocolError(f"two headers {name} that disagree")
        headers[name] = value
    return headers


def _header_value(value: str) -> str:
    if "\r" in value or "\n" in value:
        raise ProtocolError("a header value holds a line break")
    return value


_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def quote(text: str, safe: str = "") -> str:
    """`text` percent-encoded for a URL."""
    if all(c in _UNRESERVED or c in safe for c in text):
        return text
    return "".join(
        chr(byte) if chr(byte) in _UNRESERVED or chr(byte) in safe else f"%{byte:02X}"
        for byte in text.encode("utf-8", "surrogateescape")
    )


def query_string(pairs: Iterable[tuple[str, str]]) -> str:
    """`?a=b&c=d`, or nothing without pairs."""
    text = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
    return "?" + text if text else ""
