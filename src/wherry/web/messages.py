"""What a handler gets and gives: `Request`, and `Response` or `Hijack`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from wherry.web.body import RequestBody
    from wherry.web.hijack import HijackedConnection


Channel = Literal["unix", "tcp", "tls"]


class Disconnected(Exception):
    """The client went away."""


class BadRequest(Exception):
    """The client broke HTTP; it gets `status` and the connection is closed."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Headers:
    """Header fields in the order they came; names are lower case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = tuple(fields)

    def get(self, name: str, default: str = "") -> str:
        """The first value of `name`."""
        return next((value for key, value in self._fields if key == name), default)

    def all(self, name: str) -> list[str]:
        """Every value of `name`."""
        return [value for key, value in self._fields if key == name]

    def has_token(self, name: str, token: str) -> bool:
        """Whether the comma-separated list `name` holds `token`, without regard to case."""
        return any(token == part.strip().lower() for value in self.all(name) for part in value.split(","))

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self._fields)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)


class Request:
    """One request.  `target` is as sent; nothing in it has been decoded.

    `cancel_on_disconnect` is for the handler to set before it first waits: whether a client that goes away
    cancels it.  Work that changes state leaves it off and is always finished.
    """

    __slots__ = ("body", "cancel_on_disconnect", "channel", "headers", "method", "protocol", "target")

    def __init__(
        self,
        method: str,
        target: str,
        headers: Headers,
        body: RequestBody,
        *,
        protocol: str,
        channel: Channel,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.protocol = protocol  # HTTP/1.0, HTTP/1.1 or HTTP/2
        self.channel = channel  # what it came over; a browser reaches no unix socket
        self.cancel_on_disconnect = False

    @property
    def upgrade(self) -> str:
        """The protocol that the client wants to switch to, in lower case; empty for none."""
        if not self.headers.has_token("connection", "upgrade"):
            return ""
        return self.headers.get("upgrade").strip().lower()


Body = bytes | AsyncIterator[bytes]


class Response:
    """An answer.  A body of bytes goes out with its length, an iterator in chunks as it yields.

    The head of a streamed answer is sent at once, before the first chunk is asked for.  An iterator that is
    an asynchronous generator is closed when the client leaves.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Iterable[tuple[str, str]] = (), body: Body = b"") -> None:
        self.status = status
        self.headers = list(headers)
        self.body = body


class Hijack:
    """An answer after which the connection belongs to `serve`; it is closed when `serve` returns.

    `status` is 101, or 200 for clients that did not ask for an upgrade.  `reason` is sent as it is.
    """

    __slots__ = ("headers", "reason", "serve", "status")

    def __init__(
        self,
        status: int,
        reason: str,
        headers: Iterable[tuple[str, str]],
        serve: Callable[[HijackedConnection], Awaitable[None]],
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = list(headers)
        self.serve = serve


Handler = Callable[[Request], Awaitable[Response | Hijack]]
