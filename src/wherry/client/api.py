"""The Engine API: versions, errors, hijacked connections.

The version is negotiated without a request of its own: the first call goes out in the newest
version we speak, every answer names the daemon's newest in `Api-Version`, and one that is too new
for the daemon is refused there before anything happens, so it can go out again.  Only a call whose
body cannot be sent twice asks `/_ping` first.  DOCKER_API_VERSION fixes the version.
"""

from __future__ import annotations

import os
import select

from wherry.client.failures import ConnectionFailed, ProtocolError, error_response
from wherry.client.http import Connection, query_string, quote
from wherry.client.transports import connect
from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from wherry.client.endpoint import Endpoint
    from wherry.client.http import Response
    from wherry.client.transports import Stream

    Query = Sequence[tuple[str, str]]
    Headers = list[tuple[str, str]]

NEWEST_VERSION = "1.51"
OLDEST_VERSION = "1.24"
_PATH_SAFE = "/:@"


class Hijacked:
    """A connection that is no longer HTTP: `leftover` came behind the head of the answer."""

    __slots__ = ("leftover", "media_type", "stream")

    def __init__(self, stream: Stream, leftover: bytes, media_type: str) -> None:
        self.stream = stream
        self.leftover = leftover
        self.media_type = media_type


class Client:
    """Calls one daemon.  Keeps one idle connection; not for use by several threads.

    `start_daemon` is called once when the default socket does not answer; it returns True when
    the call is worth another try.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        headers: Iterable[tuple[str, str]] = (),
        user_agent: str = "wherry",
        start_daemon: Callable[[Endpoint], bool] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._fixed = [
            ("Host", "docker" if endpoint.scheme != "tcp" else endpoint.address),
            ("User-Agent", user_agent),
            *headers,
        ]
        self._start_daemon = start_daemon
        self._idle: Connection | None = None
        self._chosen = os.environ.get("DOCKER_API_VERSION", "").removeprefix("v")
        self.version = self._chosen or NEWEST_VERSION
        self.negotiated = bool(self._chosen)

    def close(self) -> None:
        """Close the idle connection."""
        if self._idle is not None:
            self._idle.close()
            self._idle = None

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: object = None,
        headers: Iterable[tuple[str, str]] = (),
        stream_body: Iterable[bytes] | None = None,
    ) -> Response:
        """Send a call and return the answer, whose body the caller reads or closes.

        `body` travels as JSON; `stream_body` as it is, in chunks.  The path has no version.

        Raises:
            ErrorResponse: status 400 and above, and 304, with the daemon's text.
            ConnectionFailed: no daemon.
            ProtocolError: the daemon's answer is no HTTP.
        """
        extra = list(headers)
        payload: bytes | Iterable[bytes] | None = stream_body
        if stream_body is not None:
            self._negotiate_first()
        elif body is not None:
            payload = json.dumps(body).encode("utf-8", "surrogateescape")
            extra.append(("Content-Type", "application/json"))
        target = quote(path, _PATH_SAFE) + query_string(query)
        connection, response = self._exchange(method, target, extra, payload)
        if response.status >= 400 or response.status == 304:
            text = _error_text(response, f"/v{self.version}{path}", self.endpoint)
            self._retire(connection)
            raise error_response(response.status, text)
        response.body.on_close(lambda: self._retire(connection))
        return response

    def json(self, method: str, path: str, **options: Any) -> Any:
        """The JSON answer of a call; None for an empty one.  Options and failures of `request`."""
        document = self.request(method, path, **options).body.read()
        try:
            return json.loads(document) if document.strip() else None
        except ValueError as error:
            raise ProtocolError(f"error reading remote info: {error}") from None

    def send(self, method: str, path: str, **options: Any) -> None:
        """A call whose answer has nothing to say.  Options and failures of `request`."""
        self.request(method, path, **options).body.read()

    def begin(self, method: str, path: str, *, query: Query = ()) -> Pending:
        """Send a call on a connection of its own and leave the answer for later."""
        self._negotiate_first()
        connection = Connection(self._connect())
        target = quote(path, _PATH_SAFE) + query_string(query)
        connection.send(method, f"/v{self.version}{target}", self._fixed)
        return Pending(connection, self.endpoint, method, path)

    def hijack(self, path: str, *, query: Query = (), body: object = None) -> Hijacked:
        """POST a call that turns its connection into a byte stream, which the caller closes.

        Raises:
            ErrorResponse: the daemon refuses.
        """
        extra = [("Connection", "Upgrade"), ("Upgrade", "tcp")]
        payload = None
        if body is not None:
            payload = json.dumps(body).encode("utf-8", "surrogateescape")
            extra.append(("Content-Type", "application/json"))
        target = quote(path, _PATH_SAFE) + query_string(query)
        connection, response = self._exchange("POST", target, extra, payload, fresh=True)
        if response.status not in (101, 200):
            text = _error_text(response, path, self.endpoint)
            connection.close()
            raise error_response(response.status, text)
        return Hijacked(
            connection.stream, connection.take_leftover(), response.headers.get("content-type", "")
        )

    def ping(self) -> dict[str, str]:
        """The headers of `/_ping`; also settles the version."""
        connection = self._take_idle() or Connection(self._connect())
        for method in ("HEAD", "GET"):
            connection.send(method, "/_ping", self._fixed)
            response = connection.receive(method)
            response.body.read()
            if response.status < 400:
                break
        self._learn(response.headers)
        self._retire(connection)
        return response.headers

    def fork(self) -> Client:
        """A client of the same daemon with connections of its own, for use in a signal handler."""
        other = Client(self.endpoint)
        other._fixed = self._fixed
        other.version, other.negotiated = self.version, True
        return other

    def _exchange(
        self,
        method: str,
        target: str,
        extra: Headers,
        payload: bytes | Iterable[bytes] | None,
        *,
        fresh: bool = False,
    ) -> tuple[Connection, Response]:
        """One request and its answer; once more when the daemon turned out to be older."""
        while True:
            idle = None if fresh else self._take_idle()
            connection = idle or Connection(self._connect())
            version = self.version
            try:
                connection.send(method, f"/v{version}{target}", self._fixed + extra, payload)
                response = connection.receive(method)
            except (ConnectionError, ProtocolError) as error:
                connection.close()
                if idle is not None and method in ("GET", "HEAD"):
                    continue  # the daemon ended it at this very moment; a question can be asked again
                host = self.endpoint.host
                raise ConnectionFailed(f'error during connect: {method} "{host}{target}": {error}') from error
            settled = self.negotiated
            self._learn(response.headers)
            if response.status == 400 and not settled and self.version != version:
                response.body.read()
                self._retire(connection)
                continue
            return connection, response

    def _negotiate_first(self) -> None:
        if not self.negotiated:
            self.ping()

    def _learn(self, headers: dict[str, str]) -> None:
        if self.negotiated:
            return
        theirs = headers.get("api-version") or OLDEST_VERSION
        if _number(theirs) < _number(self.version):
            self.version = theirs
        self.negotiated = True

    def _connect(self) -> Stream:
        try:
            return connect(self.endpoint)
        except ConnectionFailed:
            starter, self._start_daemon = self._start_daemon, None
            if starter is None or not starter(self.endpoint):
                raise
            return connect(self.endpoint)

    def _take_idle(self) -> Connection | None:
        connection, self._idle = self._idle, None
        if connection is not None and _is_readable(connection.stream):
            connection.close()  # the daemon has ended it meanwhile, or says what nobody asked for
            return None
        return connection

    def _retire(self, connection: Connection) -> None:
        if connection.reusable and self._idle is None:
            self._idle = connection
        else:
            connection.close()


def _is_readable(stream: Stream) -> bool:
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class Pending:
    """A call under way on its own connection, such as a wait for the end of a container."""

    __slots__ = ("_connection", "_endpoint", "_method", "_path", "_response")

    def __init__(self, connection: Connection, endpoint: Endpoint, method: str, path: str) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._method = method
        self._path = path
        self._response: Response | None = None

    def fileno(self) -> int:
        return self._connection.stream.fileno()

    def wait_accepted(self) -> None:
        """Return when the head of the answer is here: the daemon has taken the call.

        Raises:
            ErrorResponse: it has refused.
        """
        if self._response is None:
            response = self._response = self._connection.receive(self._method)
            if response.status >= 400:
                text = _error_text(response, self._path, self._endpoint)
                raise error_response(response.status, text)

    def json(self) -> Any:
        """The JSON answer, waiting for it; closes the connection."""
        self.wait_accepted()
        assert self._response is not None
        try:
            return json.loads(self._response.body.read())
        except ValueError as error:
            raise ProtocolError(f"error reading remote info: {error}") from None
        finally:
            self.close()

    def close(self) -> None:
        self._connection.close()


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def _error_text(response: Response, path: str, endpoint: Endpoint) -> str:
    """What an error answer says, with the client's own words where it says nothing."""
    body = response.body.read(1024 * 1024)
    status = f"{response.status} {response.reason}".strip()
    if response.status == 304:
        return "not modified"
    if not body:
        return (
            f"request returned {status} for API route and version {endpoint.host}{path}, "
            "check if the server supports the requested API version"
        )
    text = body.decode("utf-8", "replace")
    if response.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
        try:
            document = json.loads(body)
        except ValueError as error:
            return f"Error reading JSON: {error}"
        text = str(document.get("message") or "") if isinstance(document, dict) else ""
        if not text:
            return f"API returned a {response.status} ({response.reason}) but provided no error-message"
    return text.strip()
