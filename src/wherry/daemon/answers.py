"""Shapes of answers: JSON, progress streams, and connections that are handed over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, nullcontext
from typing import Any

import msgspec

from wherry.api import progress
from wherry.api.errors import status_of
from wherry.daemon.request import Request
from wherry.diagnostics.logs import log
from wherry.web.hijack import HijackedConnection
from wherry.web.messages import Hijack, Response

JSON = "application/json"
RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"
_MULTIPLEXED_SINCE = (1, 42)

_encoder = msgspec.json.Encoder()
Connect = Callable[[int, bytes], Awaitable[object]]
Header = tuple[str, str]


def json(value: object, *, status: int = 200, headers: Iterable[Header] = ()) -> Response:
    """`value` as the body, with the line feed that Go's encoder adds."""
    return Response(status, [("Content-Type", JSON), *headers], _encoder.encode(value) + b"\n")


def nothing(status: int = 204) -> Response:
    """An answer without a body."""
    return Response(status)


def failure(status: int, message: str) -> Response:
    """An error as every client of the Engine API reads it."""
    return json({"message": message}, status=status)


async def progress_stream(records: AsyncIterator[Mapping[str, Any]]) -> Response:
    """Records of a long piece of work, one JSON object a line.

    The work has begun when this returns: what fails before its first record is raised and becomes a status,
    what fails later is the last record.
    """
    first = await anext(records, None)
    return Response(200, [("Content-Type", JSON)], _records_as_lines(first, records))


async def _records_as_lines(
    first: Mapping[str, Any] | None, records: AsyncIterator[Mapping[str, Any]]
) -> AsyncIterator[bytes]:
    async with aclosing(records) if isinstance(records, AsyncGenerator) else nullcontext():
        try:
            if first is None:
                return
            yield _encoder.encode(first) + b"\r\n"
            async for record in records:
                yield _encoder.encode(record) + b"\r\n"
        except Exception as error:
            log("info", "stream of records failed", error=error)
            yield _encoder.encode(progress.failure(str(error), code=status_of(error))) + b"\r\n"


def stream_type(request: Request, *, tty: bool) -> str:
    """The content type of a container's output: framed unless there is a terminal, named since 1.42."""
    return RAW_STREAM if tty or request.version < _MULTIPLEXED_SINCE else MULTIPLEXED_STREAM


def hand_over(request: Request, connect: Connect, *, tty: bool) -> Hijack:
    """Give the connection to `connect`, which gets a socket of its own and the bytes that came early.

    With an `Upgrade` field the answer is 101; older clients get a 200 that never ends.

    Spec: Docker Engine API, ContainerAttach, "Hijacking".
    """

    async def serve(connection: HijackedConnection) -> None:
        fd, early = await connection.detach()
        await connect(fd, early)

    if "upgrade" not in request.headers:
        return Hijack(200, "OK", [("Content-Type", RAW_STREAM)], serve)
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "tcp")]
    kind = ("Content-Type", stream_type(request, tty=tty))
    return Hijack(101, "UPGRADED", [kind, *upgrade], serve)
