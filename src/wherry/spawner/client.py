"""Starting a spawner.  Its process executes from a read-only copy of the mount its interpreter is on.

A process that enters a container shows its own program there as /proc/PID/exe.  Opened through a mount
that is read-only, the program on the host cannot be opened for writing by anyone inside, whatever their
capabilities (CVE-2019-5736).  Spawner, shims and what they fork all descend from this one execve.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import sys

from wherry.linux import mount
from wherry.spawner.protocol import SOCKET_FD

_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    " from wherry.spawner.main import main; sys.exit(main(sys.argv[2:]))"
)
_FIRST_FREE_FD = 10  # beyond what the file actions of the start assign


class SpawnerProcess:
    """A started spawner: a child of the caller, who reaps it, and the socket that keeps it alive."""

    __slots__ = ("pid", "socket")

    def __init__(self, pid: int, socket: _socket.socket) -> None:
        self.pid = pid
        self.socket = socket


def default_command() -> list[str]:
    """How this installation starts a spawner: the same interpreter and the same package."""
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [sys.executable, "-I", "-S", "-E", "-X", "utf8", "-c", _BOOT, source]


def start(command: list[str]) -> SpawnerProcess:
    """Start `command`, whose first word is its interpreter's path.

    Raises:
        OSError: no such program, no right to clone a mount, or no process left.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    program = -1
    try:
        program = _read_only_clone(os.path.realpath(command[0]))
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            pid = os.posix_spawn(
                f"/proc/self/fd/{program}",
                command,
                _environment(),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, null, 0),
                    (os.POSIX_SPAWN_DUP2, null, 1),
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), SOCKET_FD),
                ],
                setsid=True,
                setsigmask=(),
            )
        finally:
            os.close(null)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        if program >= 0:
            os.close(program)
    return SpawnerProcess(pid, ours)


def _read_only_clone(path: str) -> int:
    clone = mount.open_tree(path, mount.OPEN_TREE_CLONE)
    try:
        mount.mount_setattr(clone, "", 0, attr_set=mount.MOUNT_ATTR_RDONLY)
        return fcntl.fcntl(clone, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD)
    finally:
        os.close(clone)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith("WHERRY_")}
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **kept}
