"""A shim: one process for each task, from the fork in the spawner to the acknowledged end.

It is forked warm and imports nothing afterwards: the package below it may be replaced or removed while it
lives.  It has one thread and one loop.  Daemon and spawner may die; it goes on, and is found through the
socket in its bundle.  It holds the lock in its bundle as long as it lives.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import fcntl
import gc
import os
import sys

from wherry.diagnostics.faults import fault_point
from wherry.diagnostics.logs import log
from wherry.errors import Conflict, InvalidArgument
from wherry.linux import process
from wherry.shim import learned, making, protocol
from wherry.shim.helper import Helper
from wherry.shim.loop import Loop
from wherry.shim.server import Server, wire_error
from wherry.shim.task import Task, reap_orphans
from wherry.shim.title import set_title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Message = dict[str, Any]

_LOG_FILE = "shim.log"
_SIGNALS = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM)
_ORPHAN_REAP_S = 1.0


def run(control_fd: int, warm_fds: list[int]) -> NoReturn:
    """Be a shim, in a process just forked from the spawner, until its task is deleted.

    It is forked before it is needed, and told its task over `control_fd` by one message
    `{"bundle", "title"}` with the shim's connection; the end of that socket ends a shim without a task.
    `warm_fds` are what `launch.warm_up` opened.
    """
    status = 1
    try:
        creator = _become_shim(control_fd, warm_fds)
        control = _socket.socket(fileno=control_fd)
        assignment = protocol.receive(control)
        control.close()
        if assignment is not None:
            _serve(*assignment, creator)
        creator.end()
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _become_shim(control_fd: int, warm_fds: list[int]) -> Helper:
    """The first acts of a shim; with the helper that will create its container."""
    os.setsid()
    # Whatever the spawner had open, other shims' connections above all, must not live on here.
    close_all_but(control_fd, *warm_fds)
    process.set_child_subreaper()
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    gc.enable()  # of what is allocated from here on; the spawner's own was frozen
    set_title("wherry-shim", "wherry-shim")
    fault_point("shim.forked")
    creator = Helper(making.create, close=[control_fd])
    for fd in warm_fds:
        os.close(fd)
    learned.take_pages(learned.SHIM)
    return creator


def _serve(assignment: Message, fds: list[int], creator: Helper) -> None:
    """Take the task that `assignment` names, unless there is nothing to do."""
    bundle: str = assignment["bundle"]
    set_title("wherry-shim", assignment["title"])
    try:
        bundle_fd = os.open(bundle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        log_fd = os.open(
            _LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600, dir_fd=bundle_fd
        )
    except FileNotFoundError:
        return  # the request outlived its daemon, and the bundle is cleaned up
    os.dup2(log_fd, 2, inheritable=False)
    os.close(log_fd)
    if _lock(bundle_fd):
        Shim(bundle_fd, bundle, creator).run(_socket.socket(fileno=fds[0]))


def close_all_but(*kept: int) -> None:
    """Close every descriptor from 3 on but these."""
    for name in os.listdir("/proc/self/fd"):  # there are few
        fd = int(name)
        if fd > 2 and fd not in kept:
            try:
                os.close(fd)
            except OSError:
                pass  # it was the listing's own


def _lock(bundle_fd: int) -> bool:
    """Take the bundle's lock for as long as this process lives; False when it is not ours to take."""
    try:
        fd = os.open(protocol.LOCK, os.O_RDWR | os.O_CLOEXEC, dir_fd=bundle_fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        named = os.stat(protocol.LOCK, dir_fd=bundle_fd)
    except (FileNotFoundError, BlockingIOError):
        return False
    return named.st_ino == os.fstat(fd).st_ino  # else the bundle was removed while we waited


def outlive_signals() -> None:
    """Let no signal but SIGKILL end this process and its children to come; they end with their sockets.

    By a handler, not SIG_IGN, which a container would inherit.
    """
    for number in _SIGNALS:
        _signal.signal(number, _nothing)


def _nothing(_number: int, _frame: object) -> None:
    pass


class Shim:
    """The task, and those who are told of it."""

    __slots__ = ("_attached", "_bundle_fd", "_deleted", "_loop", "_next_attachment", "_server", "_task")

    def __init__(self, bundle_fd: int, bundle: str, creator: Helper) -> None:
        self._bundle_fd = bundle_fd
        self._loop = Loop()
        self._server = Server(self._loop, self._answer, self._hello, self._alone)
        self._task = Task(bundle_fd, bundle, self._loop, creator, self._server.tell)
        self._next_attachment = 0
        self._attached = 0
        self._deleted = False

    def run(self, first: _socket.socket) -> None:
        """Create the task and serve it until it is deleted and all its output is delivered."""
        fault_point("shim.locked")
        try:
            # Listening comes first: whoever finds the lock taken finds the socket, and waits there.
            self._server.listen(self._bundle_fd)
            self._task.create()
        except Exception as error:
            protocol.send(first, {"failed": wire_error(error)})
            return
        self._server.add(first)
        if self._task.shares_pid_namespace:
            self._reap_orphans()
        self._loop.run(self._goes_on)
        self._server.close()

    def _goes_on(self) -> bool:
        return not self._deleted or self._attached > 0

    def _hello(self) -> Message:
        return self._task.hello()

    def _alone(self) -> None:
        # The daemon has died.  Clients of what runs are served to its end, which will come; clients of
        # what was not started yet would wait for a start that nobody will ask for.
        for each in self._task.processes():
            if each.state == "created":
                each.dismiss()

    def _reap_orphans(self) -> None:
        # In a pid namespace of its own, init gets the orphans; in a shared one the subreaper does.
        reap_orphans(self._task.children)
        self._loop.call_after(_ORPHAN_REAP_S, self._reap_orphans)

    # --- calls -----------------------------------------------------------------------------------

    def _answer(self, name: str, call: Message, fds: list[int]) -> tuple[Message, list[int]]:
        method = getattr(self, f"_call_{name}", None)
        try:
            if method is None:
                raise InvalidArgument(f"unknown call {name!r}")
            answer: tuple[Message, list[int]] = method(call, fds)
            return answer
        finally:
            for fd in fds:
                os.close(fd)

    def _call_start(self, _call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        return self._task.start(), []

    def _call_kill(self, call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        self._task.kill(call["signal"], call["exec_id"], everyone=call["all"])
        return {}, []

    def _call_resize(self, call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        self._task.process(call["exec_id"]).resize(call["rows"], call["columns"])
        return {}, []

    def _call_pause(self, _call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        self._task.pause()
        return {}, []

    def _call_resume(self, _call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        self._task.resume()
        return {}, []

    def _call_pids(self, _call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        return {"pids": self._task.pids()}, []

    def _call_stats(self, _call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        return {"stats": self._task.stats()}, []

    def _call_update(self, call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        self._task.update(call["resources"])
        return {}, []

    def _call_attach(self, call: Message, fds: list[int]) -> tuple[Message, list[int]]:
        if not fds:
            raise InvalidArgument("attach without a socket")
        process_ = self._task.process(call["exec_id"])
        self._next_attachment += 1
        number = self._next_attachment
        self._attached += 1  # before the call, in which the client may turn out to be gone
        try:
            process_.attach(number, fds.pop(0), call, self._attachment_ended)
        except BaseException:
            self._attached -= 1
            raise
        return {"attach": number}, []

    def _attachment_ended(self, number: int, reason: str) -> None:
        self._attached -= 1
        self._server.tell("attach_ended", attach=number, reason=reason)

    def _call_create_exec(self, call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        self._task.execs.create(
            call["exec_id"], call["process"], terminal=call["terminal"], with_stdin=call["stdin"]
        )
        return {}, []

    def _call_start_exec(self, call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        return self._task.execs.start(call["exec_id"]), []

    def _call_delete_exec(self, call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        self._task.execs.delete(call["exec_id"])
        return {}, []

    def _call_rootfs(self, _call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        # The mount's own descriptor (O_PATH) cannot be read; and this one pins the mount as well.
        return {}, [os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._task.rootfs())]

    def _call_network(self, _call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        return {}, [os.dup(self._task.network())]

    def _call_sync_log(self, _call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        return {"log_offset": self._task.sync_log()}, []

    def _call_delete(self, _call: Message, _fds: list[int]) -> tuple[Message, list[int]]:
        if not self._task.released:
            raise Conflict(f"task {self._task.id} is not released")
        fault_point("shim.deleting")
        self._deleted = True
        self._server.stop_listening()
        log("debug", "task deleted", task=self._task.id)
        return {}, []
