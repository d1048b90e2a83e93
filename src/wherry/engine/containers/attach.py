"""Attaching a client to a container's streams, running or yet to be started.

The client's own socket is handed to the shim.  An attach to a container that does not run
waits for its start and then gets every byte from the first.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from typing import TYPE_CHECKING

import msgspec

from wherry.engine.container_events import emit_container
from wherry.engine.containers.container import PendingAttachment
from wherry.engine.containers.logs import LogQuery, read_log
from wherry.engine.detach_keys import parse_detach_keys
from wherry.errors import Conflict

if TYPE_CHECKING:
    from wherry.core.tasks import AttachEnd
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine

HANG_UP_CHECK_S = 2.0
_HUNG_UP = select.POLLHUP | select.POLLERR


class AttachStreams(msgspec.Struct, kw_only=True, frozen=True):
    """What a client wants of a container's streams."""

    stream: bool
    logs: bool
    stdin: bool
    stdout: bool
    stderr: bool
    detach_keys: bytes | None


class Attachment:
    """An attach that has been checked; `connect` carries it out, once."""

    def __init__(self, engine: Engine, container: Container, wanted: AttachStreams) -> None:
        self._engine = engine
        self._container = container
        self._wanted = wanted
        self.tty = container.record.config.tty

    async def connect(self, sock_fd: int, leftover: bytes = b"") -> None:
        """Serve the client on `sock_fd`, which is closed at the end; ends with the attachment.

        `leftover` is input that was read from the socket already.
        """
        try:
            if self._wanted.logs:
                await self._replay(sock_fd)
            if self._wanted.stream:
                emit_container(self._engine, self._container, "attach")
                ended = await self._begin(sock_fd, leftover)
                if ended is not None and await ended == "detached":
                    emit_container(self._engine, self._container, "detach")
        finally:
            os.close(sock_fd)

    async def _replay(self, sock_fd: int) -> None:
        query = LogQuery(stdout=self._wanted.stdout, stderr=self._wanted.stderr)
        client = socket.socket(fileno=os.dup(sock_fd))
        client.setblocking(False)
        with client:
            pieces = read_log(self._engine, self._container, query, framed=not self.tty, follow=False)
            async for piece in pieces:
                await asyncio.get_running_loop().sock_sendall(client, piece)

    async def _begin(self, sock_fd: int, leftover: bytes) -> asyncio.Future[AttachEnd] | None:
        """Hand the socket over now, or at the start; None when the client or the container went first."""
        container, wanted = self._container, self._wanted
        task = container.task
        if task is not None and container.record.running:
            return await task.attach(
                sock_fd,
                stdin=wanted.stdin,
                stdout=wanted.stdout,
                stderr=wanted.stderr,
                framed=not self.tty,
                detach_keys=wanted.detach_keys,
                leftover=leftover,
                close_stdin_on_eof=container.record.config.stdin_once,
            )
        begun: asyncio.Future[asyncio.Future[AttachEnd]] = asyncio.get_running_loop().create_future()
        pending = PendingAttachment(
            stdin=wanted.stdin,
            stdout=wanted.stdout,
            stderr=wanted.stderr,
            detach_keys=wanted.detach_keys,
            sock_fd=sock_fd,
            leftover=leftover,
            begun=begun,
        )
        container.pending.append(pending)
        try:
            return await _begun_or_gone(begun, sock_fd)
        finally:
            if pending in container.pending:
                container.pending.remove(pending)


async def _begun_or_gone(
    begun: asyncio.Future[asyncio.Future[AttachEnd]], sock_fd: int
) -> asyncio.Future[AttachEnd] | None:
    """Wait for the start; look now and then whether the client has hung up."""
    poll = select.poll()
    poll.register(sock_fd, 0)  # only what poll always tells: hang-up and errors
    while not begun.done():
        await asyncio.wait([begun], timeout=HANG_UP_CHECK_S)
        if not begun.done() and any(events & _HUNG_UP for _, events in poll.poll(0)):
            begun.cancel()
    return None if begun.cancelled() else begun.result()


async def attach_container(
    engine: Engine,
    reference: str,
    *,
    stream: bool,
    logs: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    detach_keys: str | None = None,
) -> Attachment:
    """Check an attach; `Attachment.connect` then carries it out.

    Raises:
        NotFound: no such container.
        Conflict: it is paused or restarting.
        InvalidArgument: detach keys that are none.
    """
    container = engine.containers.find(reference)
    keys = parse_detach_keys(detach_keys)
    if container.status == "paused":
        raise Conflict(f"container {reference} is paused, unpause the container before attach")
    if container.status == "restarting":
        raise Conflict(f"container {reference} is restarting, wait until the container is running")
    config = container.record.config
    wanted = AttachStreams(
        stream=stream,
        logs=logs,
        stdin=stdin and config.open_stdin,
        stdout=stdout,
        stderr=stderr,
        detach_keys=keys if stdin and config.tty else None,
    )
    return Attachment(engine, container, wanted)
