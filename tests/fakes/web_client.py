"""A server on a unix socket, and raw sockets to talk to it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from wherry.web.limits import Limits
from wherry.web.messages import Handler
from wherry.web.server import Server


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> tuple[int, dict[str, str]]:
        """The status and fields of the next answer."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = text.split("\r\n")[:-2]
        pairs = (field.split(": ", 1) for field in fields)
        return int(line.split(" ")[1]), {name.lower(): value for name, value in pairs}

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer, whole."""
        status, fields = await self.head()
        if fields.get("transfer-encoding") == "chunked":
            return status, fields, await self._chunks()
        return status, fields, await self.reader.readexactly(int(fields.get("content-length", "0")))

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body


@contextlib.asynccontextmanager
async def serving(
    handler: Handler, path: Path, limits: Limits | None = None
) -> AsyncIterator[Callable[[], "contextlib.AbstractAsyncContextManager[Client]"]]:
    """A server of `handler`; gives a function that connects to it."""
    server = Server(handler, limits=limits)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path / "socket"))
    sock.listen()
    await server.listen(sock)

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_unix_connection(str(path / "socket"), limit=1 << 24)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    try:
        async with asyncio.timeout(20):
            yield connect
    finally:
        await server.close(grace_s=0)
