"""The conversation of a parent with the init or exec process it has just made.

One SOCK_SEQPACKET pair; a message is a tag of one byte and what belongs to it:

    parent                          child
      │ ── U ─────────────────────────▶ │  the configuration                 (only to a spare: see `spare`)
      │ ── U + descriptors ───────────▶ │  the rest of the setup
      │ ── M ─────────────────────────▶ │  mappings are written              (user namespace only)
      │ ◀───────────────────────── H ── │  namespaces and mounts stand: run the hooks (if any)
      │ ── G ─────────────────────────▶ │  hooks are done, go on
      │ ◀── C + descriptor ──────────── │  the master side of the terminal   (terminal only)
      │ ◀── N + descriptor ──────────── │  the listener of the seccomp filter (notify only)
      │ ── G ─────────────────────────▶ │  it is with its agent
      │ ◀───────────────────────── L ── │  set my resource limits            (if any)
      │ ── G ─────────────────────────▶ │  they are set
      │ ◀───────────────────────── R ── │  ready: all is set up but execve; waits at the gate
      │ ── S ─────────────────────────▶ │  start
      │ ◀── end of file ─────────────── │  execve succeeded: it closed the child's end

Instead of any of its messages the child may send its last one, E and a JSON report
`{"kind", "message", "exit_code"}`.  End of file before R means that the child died.

The gate is this socket, or, for the command line, where creator and starter are different processes,
a listening socket: the child accepts a connection and finds S on it, and reports on that connection.
"""

from __future__ import annotations

import _socket
import errno
import os
import sys

from wherry import errors
from wherry.files.json import dumps, loads
from wherry.runtime.failures import START_FAILED, StartFailed, explain

SETUP = b"U"
MAPPED, HOOKS, CONSOLE, NOTIFY, LIMITS, GO = b"M", b"H", b"C", b"N", b"L", b"G"
READY, START, ERROR = b"R", b"S", b"E"
CLOSED = b""

_LARGEST = 64 * 1024  # of an error report; its text is cut to fit
LARGEST_SETUP = 128 * 1024  # below what a socket takes at once
MOST_DESCRIPTORS = 250  # of one message, in the kernel's count 253
_FAMILY, _TYPE = _socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC


class Channel:
    """One end of the conversation; owns its descriptor."""

    __slots__ = ("_socket",)

    def __init__(self, fd: int) -> None:
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def renumber(self, fd: int) -> None:
        """Go on by way of `fd`, a copy of the descriptor or the same; the old one is left open."""
        self._socket.detach()
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)

    def send(self, tag: bytes, payload: bytes = b"", *, fd: int = -1) -> None:
        """Send one message, with a copy of `fd` where one is given.

        Raises:
            OSError: EPIPE or ECONNRESET when the other side is gone.
        """
        if fd < 0:
            self._socket.send(tag + payload, _socket.MSG_NOSIGNAL)
            return
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, sys.byteorder))
        self._socket.sendmsg([tag + payload], [rights], _socket.MSG_NOSIGNAL)

    def receive(self) -> tuple[bytes, bytes, int]:
        """The next message: (tag, payload, descriptor or -1); CLOSED when the other side is gone."""
        try:
            data, ancillary, _, _ = self._socket.recvmsg(
                _LARGEST, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return CLOSED, b"", -1
        fd = -1
        for level, kind, content in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS and len(content) >= 4:
                fd = int.from_bytes(content[:4], sys.byteorder)
        return data[:1], data[1:], fd

    def send_setup(self, payload: bytes, fds: list[int]) -> None:
        """Send a spare what it shall do, with copies of `fds`.

        Raises:
            OSError: EPIPE or ECONNRESET when it is gone.
        """
        packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)] if fds else []
        self._socket.sendmsg([SETUP, payload], rights, _socket.MSG_NOSIGNAL)

    def receive_setup(self) -> tuple[bytes, list[int]] | None:
        """What `send_setup` has sent, in the child, or None when the other side is gone.

        Raises:
            StartFailed: not all of it has arrived.
        """
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(
                LARGEST_SETUP + 1, _socket.CMSG_SPACE(4 * MOST_DESCRIPTORS), _socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return None
        if not data:
            return None
        if data[:1] != SETUP or flags & (_socket.MSG_TRUNC | _socket.MSG_CTRUNC):
            raise StartFailed("the setup of the container's init process is incomplete")
        packed = b"".join(content for _, kind, content in ancillary if kind == _socket.SCM_RIGHTS)
        return data[1:], [
            int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4)
        ]

    def expect(self, tag: bytes) -> None:
        """Wait for `tag`, in the child.

        Raises:
            StartFailed: the parent is gone or said something else.
        """
        got, _, _ = self.receive()
        if got != tag:
            raise StartFailed("the parent of the container's init process is gone")

    def report(self, error: BaseException) -> None:
        """Send the child's last message; a parent that is gone is none of its troubles."""
        try:
            self._socket.send(ERROR + encode_failure(error), _socket.MSG_NOSIGNAL)
        except OSError:
            pass


def pair() -> tuple[Channel, Channel]:
    """The two ends of a conversation."""
    ours, theirs = _socket.socketpair(_FAMILY, _TYPE, 0)
    return Channel(ours.detach()), Channel(theirs.detach())


def encode_failure(error: BaseException) -> bytes:
    """`error` as the payload of an E message."""
    message = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.errno is not None:
        message = explain(error) + (f": {error.filename}" if error.filename else "")
    wire: dict[str, object] = dict(errors.to_wire(error))
    wire["message"] = message[: _LARGEST // 8]
    wire["exit_code"] = getattr(error, "exit_code", START_FAILED)
    return dumps(wire).encode("utf-8", "replace")


def decode_failure(payload: bytes) -> StartFailed:
    """The failure that the payload of an E message describes."""
    wire = loads(payload)
    code = wire.get("exit_code", START_FAILED)
    failure = StartFailed(str(wire.get("message", "unknown failure")), exit_code=int(code))
    failure.hint = wire.get("hint")
    return failure


class Gate:
    """Where a child that is ready waits until it shall execute its program."""

    __slots__ = ("_channel", "_listener")

    def __init__(self, channel: Channel, listener_fd: int = -1) -> None:
        self._channel = channel
        self._listener = listener_fd

    def announce(self) -> None:
        """Tell the creator that all is set up; with a listener it need not stay."""
        self._channel.send(READY)
        if self._listener >= 0:
            self._channel.close()

    def wait(self) -> Channel:
        """Wait for the start; returns the channel on which a failure of execve is to be reported."""
        if self._listener < 0:
            self._channel.expect(START)
            return self._channel
        listener = _socket.socket(_FAMILY, _TYPE, 0, self._listener)
        while True:
            fd, _ = listener._accept()  # type: ignore[attr-defined]
            channel = Channel(fd)
            if channel.receive()[0] == START:
                listener.close()
                return channel
            channel.close()  # somebody looked whether the gate is still there


def listen_at_gate(directory_fd: int, name: str) -> int:
    """Make the listening socket `name` in a directory; the caller owns the descriptor.

    Raises:
        OSError: EADDRINUSE when it is there.
    """
    listener = _socket.socket(_FAMILY, _TYPE, 0)
    # By way of the descriptor, for an address holds 108 bytes and a root directory may be deep.
    listener.bind(f"/proc/self/fd/{directory_fd}/{name}")
    listener.listen(8)
    return listener.detach()


def knock(directory_fd: int, name: str) -> Channel | None:
    """A connection to the gate, or None when its process has passed it, or has died."""
    connection = _socket.socket(_FAMILY, _TYPE, 0)
    try:
        connection.connect(f"/proc/self/fd/{directory_fd}/{name}")
    except OSError as error:
        connection.close()
        if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
            return None
        raise
    return Channel(connection.detach())


def await_execve(channel: Channel) -> None:
    """Send the start and return once execve has succeeded.

    Raises:
        StartFailed: it did not.
    """
    try:
        channel.send(START)
    except OSError:
        raise StartFailed("the init process of the container is gone") from None
    tag, payload, _ = channel.receive()
    if tag == ERROR:
        raise decode_failure(payload)


def close_quietly(*fds: int) -> None:
    """Close descriptors in the course of an undo; negative ones stand for none."""
    for fd in fds:
        if fd >= 0:
            try:
                os.close(fd)
            except OSError:
                pass
