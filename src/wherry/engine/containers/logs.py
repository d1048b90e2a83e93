"""Reading a container's log."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from wherry.api import frames
from wherry.engine.containers.directory import log_path
from wherry.engine.times import parse_timestamp, rfc3339_fixed
from wherry.errors import InvalidArgument, Unsupported, WherryError
from wherry.logs.json_file import Entry, JsonFileReader

if TYPE_CHECKING:
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine

POLL_INTERVAL_S = 0.05
BATCH_ENTRIES = 1024


class LogStream(msgspec.Struct, kw_only=True, frozen=True):
    """A log being read; `framed` when its two streams come in frames."""

    framed: bool
    chunks: AsyncIterator[bytes]


class LogQuery(msgspec.Struct, kw_only=True, frozen=True):
    """What of a log is wanted, and how it is to look."""

    stdout: bool = True
    stderr: bool = True
    since_ns: int | None = None
    until_ns: int | None = None
    tail: int | None = None
    timestamps: bool = False
    details: bool = False


async def container_logs(
    engine: Engine,
    reference: str,
    *,
    follow: bool = False,
    stdout: bool = True,
    stderr: bool = True,
    since: str | None = None,
    until: str | None = None,
    timestamps: bool = False,
    tail: str = "all",
    details: bool = False,
) -> LogStream:
    """What a container wrote, and with `follow` what it writes until it stops.

    Raises:
        NotFound: no such container.
        InvalidArgument: neither stream, or a time that is none.
        Unsupported: its log driver keeps nothing that can be read.
    """
    if not (stdout or stderr):
        raise InvalidArgument("must specify at least one of 'stdout' or 'stderr'")
    container = engine.containers.find(reference)
    if container.record.host_config.log_config.type == "none":
        raise Unsupported("configured logging driver does not support reading")
    now_ns = time.time_ns()
    query = LogQuery(
        stdout=stdout,
        stderr=stderr,
        since_ns=parse_timestamp(since, now_ns=now_ns) if since else None,
        until_ns=parse_timestamp(until, now_ns=now_ns) if until and until != "0" else None,
        tail=_tail(tail),
        timestamps=timestamps,
        details=details,
    )
    framed = not container.record.config.tty
    return LogStream(framed=framed, chunks=read_log(engine, container, query, framed=framed, follow=follow))


def _tail(text: str) -> int | None:
    try:
        count = int(text)
    except ValueError:
        return None  # `all`, and as in Docker anything else
    return count if count >= 0 else None


async def read_log(
    engine: Engine, container: Container, query: LogQuery, *, framed: bool, follow: bool
) -> AsyncIterator[bytes]:
    """The log in pieces: framed or raw, each entry as `query` wants it."""
    encode = _encoder(query, framed=framed)
    await sync_log(container)
    with JsonFileReader(os.fspath(log_path(engine, container.id))) as reader:
        entries = reader.read(
            since_ns=query.since_ns,
            until_ns=query.until_ns,
            tail=query.tail,
            stdout=query.stdout,
            stderr=query.stderr,
        )
        stopped = container.waiter("not-running")
        try:
            while True:
                # Whether it still writes is asked before reading, so that nothing written is missed.
                writing = follow and not stopped.done() and engine.containers.get(container.id) is container
                while piece := await engine.threads.disk(_next_piece, entries, encode):
                    yield piece
                if not writing or reader.finished:
                    return
                await asyncio.wait([stopped], timeout=POLL_INTERVAL_S)
                await sync_log(container)
                entries = reader.poll()
        finally:
            stopped.cancel()


async def sync_log(container: Container) -> None:
    """Have the shim write what it has batched."""
    if container.task is not None:
        try:
            await container.task.log_position()
        except WherryError:
            pass  # the task has just gone, and has written everything


def _next_piece(entries: Iterator[Entry], encode: Callable[[Entry], bytes]) -> bytes:
    return b"".join(map(encode, itertools.islice(entries, BATCH_ENTRIES)))


def _encoder(query: LogQuery, *, framed: bool) -> Callable[[Entry], bytes]:
    def encode(entry: Entry) -> bytes:
        time_ns, stream, text, attributes = entry
        if query.details:
            text = _details(attributes) + b" " + text
        if query.timestamps:
            text = f"{rfc3339_fixed(time_ns)} ".encode() + text
        return frames.encode(stream, text) if framed else text

    return encode


def _details(attributes: dict[str, str]) -> bytes:
    return ",".join(f"{key}={value}" for key, value in sorted(attributes.items())).encode()
