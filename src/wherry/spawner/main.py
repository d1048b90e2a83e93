"""The spawner: one warm process with one thread, from which shims and operations are forked.

Warm means that everything a shim or an operation will need is imported and set up before the first fork,
so that a fork costs a third of a millisecond and shares its memory.  It holds nothing: no user process is
ever in its charge, and its children are reaped by the kernel.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os
import select
import sys

from wherry.diagnostics.faults import fault_point
from wherry.diagnostics.logs import log
from wherry.errors import InvalidArgument, Unavailable
from wherry.linux import cgroupfs, process
from wherry.shim import learned
from wherry.shim import main as shim
from wherry.shim.server import wire_error
from wherry.shim.title import find_place, set_title
from wherry.spawner import memory, protocol, warm
from wherry.spawner.operations import OPERATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Message = dict[str, Any]


def main(arguments: list[str]) -> NoReturn:
    """Serve descriptor 3 until its end, in the control group whose directory may be the one argument."""
    for directory in arguments:
        _enter(directory)  # before the first fork: what is forked is born there
    sock = _socket.socket(fileno=protocol.SOCKET_FD)
    process.close_range(protocol.SOCKET_FD + 1, 0xFFFFFFFF)
    os.chdir("/")
    os.umask(0o022)
    cgroupfs.layout()  # known once, and not looked for again in each child
    warm_fds = warm.launch.warm_up()
    # From here on children are reaped by the kernel: nobody here waits for them.  Orphans of a shim that
    # was killed come here, too: where PID 1 reaps lazily, their zombies would keep a pid namespace up.
    process.set_child_subreaper()
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
    shim.outlive_signals()
    find_place()
    set_title("wherry-spawner", "wherry-spawner")
    learned.share()
    # Nothing is imported from here on, neither here nor in a child: the package on the disk may be a
    # newer one by then, or gone.
    for places in (sys.path, sys.meta_path, sys.path_hooks, sys.path_importer_cache):
        places.clear()
    memory.settle()
    Spawner(sock, warm_fds).run()
    os._exit(0)  # nothing is left to be tidied, and tidying would take its time


def _enter(directory: str) -> None:
    try:
        cgroupfs.write(f"{directory}/cgroup.procs", "0")
    except OSError as error:
        log("warning", "the spawner cannot enter its cgroup", directory=directory, error=error)


# The spare shim is made in a quiet moment: sooner, its making would slow down the start that used the last.
_QUIET_MS = 40


class Spawner:
    """The requests of one daemon."""

    __slots__ = ("_operations", "_poll", "_socket", "_spare", "_warm_fds")

    def __init__(self, sock: _socket.socket, warm_fds: list[int]) -> None:
        self._socket = sock
        self._warm_fds = warm_fds
        # A shim without a task, and its control socket.
        self._spare: tuple[int, _socket.socket] | None = self._fork_shim()
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)
        self._operations: dict[int, tuple[_socket.socket, object]] = {}

    def run(self) -> None:
        """Answer until the daemon is gone."""
        protocol.send(self._socket, {"hello": protocol.VERSION, "pid": os.getpid()})
        while True:
            if self._spare is None and not self._poll.poll(_QUIET_MS):
                self._spare = self._fork_shim()
            for fd, _ in self._poll.poll():
                if fd in self._operations:
                    self._operation_ended(fd)
                elif not self._answer_one():
                    return

    def _answer_one(self) -> bool:
        received = protocol.receive(self._socket)
        if received is None:
            return False
        message, fds = received
        serial = message.get("serial")
        fault_point("spawner.requested")
        try:
            answer = self._answer(message, fds)
        except Exception as error:
            answer = {"error": wire_error(error)}
        finally:
            for fd in fds:
                os.close(fd)
        if answer is not None:
            self._reply(serial, answer)
        return True

    def _reply(self, serial: object, answer: Message) -> None:
        try:
            protocol.send(self._socket, {"reply": serial, **answer})
        except OSError as error:
            log("debug", "spawner's daemon is gone", error=error)

    def _answer(self, message: Message, fds: list[int]) -> Message | None:
        call = message.get("call")
        if call == "start_shim":
            return {"pid": self._start_shim(message, fds)}
        if call == "operation":
            self._start_operation(message, fds)
            return None
        raise InvalidArgument(f"unknown call {call!r}")

    def _start_shim(self, message: Message, fds: list[int]) -> int:
        if len(fds) != 1:
            raise InvalidArgument("start_shim without the shim's connection")
        assignment = {
            "bundle": message["bundle"],
            "title": f"wherry-shim {message['tenant']}/{message['id']}",
        }
        while True:
            spare, self._spare = self._spare, None
            pid, control = spare or self._fork_shim()
            try:
                protocol.send(control, assignment, fds)
            except OSError:
                if spare is None:
                    raise
                continue  # the spare one has been killed; a fresh one has not
            finally:
                control.close()
            fault_point("spawner.shim-assigned")
            return pid

    def _fork_shim(self) -> tuple[int, _socket.socket]:
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        pid, _ = process.clone3(0, want_pidfd=False)
        if pid == 0:
            shim.run(theirs.detach(), self._warm_fds)
        theirs.close()
        fault_point("spawner.shim-forked")
        return pid, ours

    def _start_operation(self, message: Message, fds: list[int]) -> None:
        name = message["operation"]
        if name not in OPERATIONS:
            raise InvalidArgument(f"unknown operation {name!r}")
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        pid, _ = process.clone3(0, want_pidfd=False)
        if pid == 0:
            _run_operation(theirs, name, message["arguments"], fds)
        theirs.close()
        self._operations[ours.fileno()] = (ours, message.get("serial"))
        self._poll.register(ours.fileno(), select.POLLIN)

    def _operation_ended(self, fd: int) -> None:
        sock, serial = self._operations.pop(fd)
        self._poll.unregister(fd)
        try:
            received = protocol.receive(sock)
        except OSError:
            received = None
        sock.close()
        if received is None:
            self._reply(serial, {"error": wire_error(Unavailable("the operation's process died"))})
        else:
            self._reply(serial, received[0])


def _run_operation(sock: _socket.socket, name: str, arguments: Message, fds: list[int]) -> NoReturn:
    """In a child: do it, answer, end."""
    try:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        # Or neither the daemon nor the spare shim would see the spawner's end while this goes on.
        kept = [sock.fileno(), *fds]
        shim.close_all_but(*kept)
        set_title("wherry-operate", f"wherry-operation {name}")
        fault_point("spawner.operating")
        try:
            answer = {"result": OPERATIONS[name](arguments, fds)}
        except Exception as error:
            answer = {"error": wire_error(error)}
        protocol.send(sock, answer)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)
