"""The daemon's side of the spawner: started when first needed, and again when it has died."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Any

from wherry.core.tasks.connection import Connection
from wherry.diagnostics.logs import log
from wherry.errors import Unavailable
from wherry.spawner import client

HELLO_TIMEOUT_S = 20.0
END_TIMEOUT_S = 5.0
START_ATTEMPTS = 4


class SpawnerEnded(Unavailable):
    """The spawner ended before it was ready."""

    def __init__(self) -> None:
        super().__init__("the spawner ended before it was ready")


class Spawner:
    """One spawner at a time.  Nothing of a task is in it, so its death costs a start and no more."""

    def __init__(self, command: list[str] | None, cgroup: Path | None = None) -> None:
        self._command = (command or client.default_command()) + ([str(cgroup)] if cgroup else [])
        self._starting = asyncio.Lock()
        self._connection: Connection | None = None
        self._closed = False
        self.pid = 0

    async def connection(self) -> Connection:
        """A connection to a spawner that is ready.

        Raises:
            Unavailable: none can be started.
        """
        if self._connection is not None and not self._connection.ended:
            return self._connection
        async with self._starting:
            for _ in range(START_ATTEMPTS):
                if self._connection is None or self._connection.ended:
                    try:
                        self._connection = await self._start()
                    except SpawnerEnded:
                        continue
                return self._connection
        raise Unavailable(f"the spawner ended {START_ATTEMPTS} times before it was ready")

    async def close(self) -> None:
        """End the spawner, and wait for it; one that does not end by itself is killed."""
        async with self._starting:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
            if not self.pid:
                return
            try:
                async with asyncio.timeout(END_TIMEOUT_S):
                    await asyncio.shield(self._reaped)
            except TimeoutError:
                log("warning", "spawner killed, for it does not end", pid=self.pid)
                os.kill(self.pid, signal.SIGKILL)
                await self._reaped

    async def _start(self) -> Connection:
        if self._closed:
            raise Unavailable("the task service is closed")
        loop = asyncio.get_running_loop()
        hello: asyncio.Future[None] = loop.create_future()

        def on_message(_: dict[str, Any], fds: list[int]) -> None:
            for fd in fds:
                os.close(fd)
            if not hello.done():
                hello.set_result(None)

        def on_end() -> None:
            log("warning", "spawner ended", pid=self.pid)
            if not hello.done():
                hello.set_exception(SpawnerEnded())

        try:
            process = client.start(self._command)
        except OSError as error:
            raise Unavailable(f"cannot start the spawner: {error}") from error
        self._watch(process.pid)
        sock = socket.socket(fileno=process.socket.detach())
        connection = Connection(sock, peer="spawner", on_message=on_message, on_end=on_end)
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                await hello
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise Unavailable("the spawner does not answer") from None
            raise
        return connection

    def _watch(self, pid: int) -> None:
        """Reap the spawner when it ends."""
        loop = asyncio.get_running_loop()
        reaped: asyncio.Future[None] = loop.create_future()
        self.pid, self._reaped = pid, reaped
        pidfd = os.pidfd_open(pid)

        def ended() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            os.waitpid(pid, 0)
            if not reaped.done():
                reaped.set_result(None)
            if self.pid == pid:
                self.pid = 0

        loop.add_reader(pidfd, ended)
