"""The running daemon: restores its containers, serves clients, and ends without stopping any container.

The sockets are bound last, so whoever can connect is served by an engine that knows its containers.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wherry import __version__
from wherry.daemon import placement
from wherry.daemon.config import Config
from wherry.daemon.dispatch import Dispatcher
from wherry.daemon.notify import notify, tell_ready
from wherry.daemon.reload import reload
from wherry.daemon.routes import all_routes
from wherry.daemon.wiring import open_engine
from wherry.diagnostics.faults import fault_point
from wherry.diagnostics.logs import log
from wherry.engine.engine import Engine
from wherry.errors import InvalidArgument, WherryError
from wherry.web import listeners
from wherry.web.listeners import Address
from wherry.web.server import Server

if TYPE_CHECKING:
    import ssl

_IDLE_POLL_S = 5.0
_SIGNALS_TO_GIVE_UP = 3


class Daemon:
    """One daemon, from start to end."""

    def __init__(self, config: Config, read_again: Callable[[], Config]) -> None:
        self._config = config
        self._read_again = read_again
        self._engine: Engine | None = None
        self._ending = asyncio.Event()
        self._signals = 0
        self._socket_files: list[tuple[str, int]] = []

    async def run(self) -> None:
        """Serve until a signal, or until idle where that was asked for."""
        self._watch_signals()
        for address in self._config.addresses:
            self._judge(address)
        context = self._tls_context()
        subtree = placement.own_subtree()
        leaf = placement.divide(subtree) if subtree else None
        async with AsyncExitStack() as stack:
            opened = open_engine(self._config, spawner_cgroup=leaf)
            engine = self._engine = await stack.enter_async_context(opened)
            fault_point("daemon.restored")
            server = Server(Dispatcher(all_routes(), engine, server=f"Docker/{__version__} (linux)"))
            stack.push_async_callback(self._close, server)
            await self._listen(server, context)
            fault_point("daemon.listening")
            self._settle()
            log("info", "daemon serves", version=__version__, data_root=self._config.data_root)
            await self._until_end(server, engine)
            notify("STOPPING=1")

    # Listening.

    async def _listen(self, server: Server, context: ssl.SSLContext | None) -> None:
        for address in self._config.addresses:
            for sock in listeners.listen(address, group=self._group(address)):
                is_local = sock.family == socket.AF_UNIX
                if address.scheme == "unix":
                    self._socket_files.append((address.path, os.stat(address.path).st_ino))
                await server.listen(sock, tls=None if is_local else context)
            log("info", "listening", address=address)

    def _tls_context(self) -> ssl.SSLContext | None:
        tls = self._config.tls
        if tls is None:
            return None
        from wherry.web.tls import server_context

        return server_context(tls.certificate, tls.key, client_ca=tls.client_ca)

    def _judge(self, address: Address) -> None:
        """Refuse TCP that gives root to strangers, unless it was asked for in so many words.

        Raises:
            InvalidArgument: saying how to ask.
        """
        tls = self._config.tls
        if address.scheme != "tcp" or (tls and tls.client_ca):
            return
        is_allowed = address.is_loopback and self._config.allows_plain_loopback
        if not (is_allowed or self._config.allows_plain_tcp):
            raise InvalidArgument(
                f"refusing to serve {address} without --tlsverify: "
                "whoever reaches this address is root on this machine",
                hint="to accept that, say --tls=false",
            )
        log("warning", "whoever reaches this address is root on this machine", address=address)

    def _group(self, address: Address) -> str:
        """The socket's group; the default one need not exist."""
        group = self._config.group
        if address.scheme != "unix" or group.isdecimal():
            return group
        if self._config.has_default_group and not listeners.group_exists(group):
            log("debug", "the socket belongs to root's group", address=address, missing=group)
            return ""
        return group

    def _settle(self) -> None:
        """Tell that clients are served, and keep what was loaded so far out of every later collection."""
        gc.collect()
        gc.freeze()
        notify("READY=1")
        if self._config.ready_fd >= 0:
            tell_ready(self._config.ready_fd)

    # Ending.

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _end(self, number: signal.Signals) -> None:
        self._signals += 1
        log("info", "ending", signal=number.name)
        self._ending.set()
        if self._signals >= _SIGNALS_TO_GIVE_UP:
            log("warning", "ending at once", signals=self._signals)
            os._exit(128 + number)

    def _hang_up(self) -> None:
        """Read the configuration again; a closed terminal does no harm either."""
        if self._engine is None:
            return
        try:
            self._config = reload(self._config, self._read_again(), self._engine)
        except WherryError as error:
            log("error", "the configuration is as it was: what was read cannot be used", error=error)
        else:
            log("info", "configuration read again", labels=self._config.labels, debug=self._config.debug)

    async def _until_end(self, server: Server, engine: Engine) -> None:
        limit_s = self._config.idle_exit_s
        while not self._ending.is_set():
            if server.connection_count or engine.tasks.list():
                server.last_used_at = time.monotonic()
            left_s = server.last_used_at + limit_s - time.monotonic()
            if limit_s and left_s <= 0:
                log("info", "ending", idle_s=limit_s)
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), min(left_s, _IDLE_POLL_S) if limit_s else None)

    async def _close(self, server: Server) -> None:
        """Take the socket files away first: who comes from now on finds no daemon, and may start one."""
        for path, inode in self._socket_files:
            with suppress(FileNotFoundError):
                if Path(path).stat().st_ino == inode:  # and not another daemon's by now
                    os.unlink(path)
        await asyncio.sleep(0)  # whoever has connected already is accepted
        await server.close(grace_s=float(self._config.shutdown_timeout_s))
