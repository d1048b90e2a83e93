"""The shim's protocol: packets on a Unix socket, JSON with descriptors.

A connection is a SOCK_SEQPACKET Unix socket: the one made with the shim, or any number made later through
`<bundle>/s`.  One packet is one JSON object; descriptors travel beside it.  An object beyond LIMIT_BYTES
travels as `{"document": true}` with a sealed memfd that holds it as the first descriptor.

    shim  → {"hello": 1, "tenant", "id", "shim_pid", "pid", "start_time", "started_at_ns",
             "state": "creating"|"created"|"running"|"paused"|"stopped", "released": false,
             "exit": null|EXIT, "log_offset": bytes|null,
             "execs": {exec_id: {"state": "created"|"running"|"stopped", "pid", "exit": null|EXIT}}}
    shim  → {"failed": ERROR}                          in place of the hello: it could not create, and is gone
    daemon→ {"call": NAME, "serial": n, …}             + descriptors
    shim  → {"reply": n, …}  or  {"reply": n, "error": ERROR}     + descriptors
    shim  → {"event": NAME, …}                         at any time after the hello, to every connection

    EXIT  = {"exit_code", "at_ns", "oom_killed", "error"}     exit_code is 128 + n after signal n
    ERROR = {"kind", "message"[, "hint"][, "exit_code"]}      kind as in wherry.errors

    call          arguments                               answer
    start                                                 pid, started_at_ns
    kill          signal, exec_id|null, all
    resize        rows, columns, exec_id|null
    pause resume
    pids                                                  pids
    stats                                                 stats
    update        resources (OCI linux.resources)
    attach        exec_id|null, stdin, stdout, stderr, framed, detach_keys, leftover, close_stdin
                  + the client's socket                   attach
    create_exec   exec_id, process (OCI), terminal, stdin
    start_exec    exec_id                                 pid
    delete_exec   exec_id                                           its exit is known; forget it
    rootfs                                                + descriptor of the root directory
    network                                               + descriptor of the network namespace
    sync_log                                              log_offset: all output so far is in the log
    delete                                                          acknowledges the exit; the shim ends

    event         fields
    exited        exit: EXIT                              init is gone, the exit is in the bundle
    released                                              no mount, cgroup or process of the task is left
    exec_exited   exec_id, exit
    attach_ended  attach, reason: "eof"|"detached"|"exited"|"failed"

Records are replaced by rename and not synced: the exec root does not outlive the machine's uptime.
`detach_keys` and `leftover` are bytes in hexadecimal.  The protocol only grows: new calls, events and
fields; a shim of any released version is spoken to in its own words, and a daemon looks at "hello" before
it asks for what came later.
"""

from __future__ import annotations

import _socket
import os
import sys

from wherry.files import json
from wherry.linux import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Message = dict[str, Any]

VERSION = 1
LIMIT_BYTES = 64 * 1024
MAX_DESCRIPTORS = 8

# What a bundle holds.
CONFIG = "config.json"  # the runtime specification's configuration, written by the daemon
REQUEST = "shim.json"  # what else the shim is asked for, written by the daemon
RECORD = "record.json"  # the shim's: pid, start time, state
EXIT = "exit.json"  # the shim's: the exit, written before it is told
EXECS = "execs"  # the shim's: exits of exec'd processes, one file each, until asked for
SOCKET = "s"
LOCK = "lock"  # flock'd by the shim for its whole life

SHIM_LOST = "shim lost"  # the error of an exit that no shim has told

_DOCUMENT_LIMIT_BYTES = 64 * 1024 * 1024
_CONTROL_BYTES = _socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)


class ProtocolError(OSError):
    """The peer sent what is no message."""


def send(sock: _socket.socket, message: Message, fds: Sequence[int] = (), *, flags: int = 0) -> None:
    """Send one message, with copies of `fds`.

    Raises:
        BlockingIOError: the peer's queue is full; nothing was sent.
        OSError: EPIPE or ECONNRESET without a peer.
    """
    body = json.dumps(message).encode()
    document = -1
    if len(body) > LIMIT_BYTES:
        document = process.memfd("message", body)
        body, fds = b'{"document":true}', (document, *fds)
    packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)] if fds else []
    try:
        sock.sendmsg([body], rights, flags | _socket.MSG_NOSIGNAL)
    finally:
        if document >= 0:
            os.close(document)


def receive(sock: _socket.socket, *, flags: int = 0) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors, which are the caller's and close-on-exec; None at the end.

    Raises:
        BlockingIOError: nothing there, on a non-blocking socket or with MSG_DONTWAIT.
        ProtocolError: not a message; its descriptors have been closed.
    """
    body, ancillary, state, _ = sock.recvmsg(
        LIMIT_BYTES + 1, _CONTROL_BYTES, flags | _socket.MSG_CMSG_CLOEXEC
    )
    fds = _descriptors(ancillary)
    if not body and not fds:
        return None
    try:
        if state & (_socket.MSG_TRUNC | _socket.MSG_CTRUNC):
            raise ProtocolError(90, "message too long")
        message = _parse(body)
        if message.get("document") is True:
            message = _parse(_read_document(fds.pop(0)))
    except (ValueError, IndexError, ProtocolError) as error:
        for fd in fds:
            os.close(fd)
        raise error if isinstance(error, ProtocolError) else ProtocolError(71, str(error)) from None
    return message, fds


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    return [
        int.from_bytes(data[at : at + 4], sys.byteorder)
        for level, kind, data in ancillary
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS
        for at in range(0, len(data) - 3, 4)
    ]


def _parse(body: bytes) -> Message:
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError("a message must be an object")
    return message


def _read_document(fd: int) -> bytes:
    try:
        size = os.fstat(fd).st_size
        if size > _DOCUMENT_LIMIT_BYTES:
            raise ProtocolError(90, f"a document of {size} bytes is too long")
        return os.pread(fd, size, 0)
    finally:
        os.close(fd)


def connect(bundle_fd: int) -> _socket.socket:
    """A connection to the shim of the bundle open at `bundle_fd`, however long the bundle's path.

    Raises:
        OSError: ECONNREFUSED or ENOENT where no shim listens.
    """
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        sock.connect(f"/proc/self/fd/{bundle_fd}/{SOCKET}")
    except BaseException:
        sock.close()
        raise
    return sock
