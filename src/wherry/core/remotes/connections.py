"""urllib3 connections that resolve and connect through a `Transport`, and that it can end."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from urllib3._base_connection import BaseHTTPConnection

    from wherry.core.remotes.transport import Transport


def pool_class(scheme: str, transport: Transport) -> type[HTTPConnectionPool]:
    """The pool class for `scheme` whose connections belong to `transport`."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return transport.connect(self._dns_host, self.port)

        def connect(self) -> None:
            super().connect()
            transport.adopt(self.sock)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return transport.connect(self._dns_host, self.port)

        def connect(self) -> None:
            super().connect()
            transport.adopt(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

        def _validate_conn(self, conn: BaseHTTPConnection) -> None:
            # As in the base class, but without its warning for each unverified request: only
            # registries that the operator listed are not verified.
            if conn.is_closed:
                conn.connect()

    return SecurePool if scheme == "https" else PlainPool
