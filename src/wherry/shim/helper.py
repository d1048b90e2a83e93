"""Helpers: children of the shim that do what it must not do itself, and end.

Making a container or joining one runs a good part of the runtime, which writes to a few hundred pages of
memory that the shim shares with its siblings (counting references is writing).  Done in a child those
pages are gone with it, and the shim stays as small as its loop.  The process that the helper makes becomes
the shim's child when the helper ends, for the shim is its subreaper.

    shim → helper   {…}                    one request, with descriptors
    helper → shim   {…} or {"error": ERROR}     + descriptors

The helper ends when its work is done, or its socket.
"""

from __future__ import annotations

import _socket
import os
import sys

from wherry.errors import Unavailable, from_wire
from wherry.linux import process
from wherry.shim import protocol
from wherry.shim.server import wire_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    Message = dict[str, Any]


class HelperDied(Unavailable):
    """A helper ended without an answer; what it made is an orphan of the shim's."""

    def __init__(self) -> None:
        super().__init__("a process of the shim died")


class Helper:
    """A forked child that runs `steps(socket)`, without the descriptors of `close`, and ends."""

    __slots__ = ("_pidfd", "_socket")

    def __init__(self, steps: Callable[[_socket.socket], None], *, close: Sequence[int] = ()) -> None:
        self._socket, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        pid, self._pidfd = process.clone3(0)
        if pid == 0:
            for fd in (self._socket.detach(), *close):
                os.close(fd)
            _run(steps, theirs)
        theirs.close()

    def fileno(self) -> int:
        """The descriptor that becomes readable when the helper has ended; -1 once it is reaped."""
        return self._pidfd

    def ask(self, request: Message, fds: Sequence[int] = ()) -> tuple[Message, list[int]]:
        """Send a request and wait for its answer.

        Raises:
            HelperDied: no answer will come.
            Any kind of failure: what the helper says.
        """
        try:
            protocol.send(self._socket, request, fds)
        except OSError:
            raise HelperDied from None
        return self.hear()

    def hear(self) -> tuple[Message, list[int]]:
        """Wait for an answer; as `ask`."""
        try:
            received = protocol.receive(self._socket)
        except OSError:
            received = None
        if received is None:
            raise HelperDied
        answer, fds = received
        if "error" in answer:
            for fd in fds:
                os.close(fd)
            failure = from_wire(answer["error"])
            if "exit_code" in answer["error"]:
                failure.exit_code = answer["error"]["exit_code"]  # type: ignore[attr-defined]
            raise failure
        return answer, fds

    def end(self) -> None:
        """End the helper, and wait for it: its children are ours from here on."""
        self._socket.close()
        if self._pidfd >= 0:
            try:
                process.wait_pidfd(self._pidfd)
            except ChildProcessError:
                pass  # reaped among the orphans
            os.close(self._pidfd)
            self._pidfd = -1


def answer(sock: _socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """In the helper: answer.  A shim that is gone is no reason to fail."""
    try:
        protocol.send(sock, message, fds)
    except OSError:
        pass


def _run(steps: Callable[[_socket.socket], None], sock: _socket.socket) -> NoReturn:
    try:
        try:
            steps(sock)
        except Exception as error:
            answer(sock, {"error": wire_error(error)})
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)
