"""Bounds on what one client can make the server hold or wait for."""

from __future__ import annotations


class Limits:
    """The bounds of one server."""

    __slots__ = (
        "close_grace_s",
        "connections",
        "discard_bytes",
        "head_bytes",
        "head_timeout_s",
        "pipelined_bytes",
        "write_buffer_bytes",
    )

    def __init__(
        self,
        *,
        head_bytes: int = 256 * 1024,
        head_timeout_s: float = 300.0,
        discard_bytes: int = 256 * 1024,
        pipelined_bytes: int = 1024 * 1024,
        write_buffer_bytes: int = 512 * 1024,
        connections: int = 4096,
        close_grace_s: float = 5.0,
    ) -> None:
        self.head_bytes = head_bytes  # request line and fields
        self.head_timeout_s = head_timeout_s  # from the first byte of a head to its last
        self.discard_bytes = discard_bytes  # of an unread body, to keep the connection usable
        self.pipelined_bytes = pipelined_bytes  # sent ahead while a request is served
        self.write_buffer_bytes = write_buffer_bytes  # beyond it, a streaming handler waits
        self.connections = connections  # at once; more are closed
        self.close_grace_s = close_grace_s  # for a refused client to read why
