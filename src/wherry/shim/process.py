"""One process of the task, init or exec'd, with its streams and the clients attached to them.

The streams' outer ends are made before the process, so that a client attached before the start gets every
byte.  The process is a child of the shim and is reaped through its pidfd.
"""

from __future__ import annotations

import os
import time

from wherry.errors import Conflict
from wherry.linux import process, tty
from wherry.shim.attachment import EXITED, FAILED, Attachment
from wherry.shim.loop import READABLE
from wherry.shim.output import Output
from wherry.shim.stdin import Stdin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.shim.loop import Loop
    from wherry.shim.output import LogWriter

# How long after a process's end its output may still come, from children that hold its pipes.
_GRACE_S = 2.0
_WNOHANG = os.WNOHANG


class Stdio:
    """The descriptors the process gets, and those that stay here."""

    __slots__ = ("inner", "outer_in", "outputs")

    def __init__(self, *, with_stdin: bool) -> None:
        if with_stdin:
            inner_in, self.outer_in = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self.outer_in, False)
        else:
            inner_in, self.outer_in = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1
        out, inner_out = os.pipe2(os.O_CLOEXEC)
        err, inner_err = os.pipe2(os.O_CLOEXEC)
        for fd in (out, err):
            os.set_blocking(fd, False)
        self.outputs = {out: "stdout", err: "stderr"}
        self.inner = (inner_in, inner_out, inner_err)

    def close_inner(self) -> None:
        """Close what the process has by now."""
        for fd in self.inner:
            os.close(fd)
        self.inner = (-1, -1, -1)

    def close_outer(self) -> None:
        """Close what nobody will use."""
        for fd in (*self.outputs, self.outer_in):
            if fd >= 0:
                os.close(fd)


class Process:
    """A process, to be or running or gone.  `state` is created, running or stopped."""

    __slots__ = (
        "_console", "_end_parent", "_loop", "_on_exit", "_output", "_stdin", "attachments", "exit",
        "log_writer", "pid", "pidfd", "start_time", "state", "terminal", "with_stdin",
    )  # fmt: skip

    def __init__(self, loop: Loop, *, terminal: bool, with_stdin: bool) -> None:
        self._loop = loop
        self.terminal = terminal
        self.with_stdin = with_stdin
        self.state = "created"
        self.pid = 0
        self.start_time = 0
        self.pidfd = -1
        self.exit: dict[str, Any] | None = None
        self.log_writer: LogWriter | None = None
        self.attachments: list[Attachment] = []
        self._console = -1
        self._output: Output | None = None
        self._stdin: Stdin | None = None
        self._on_exit: Callable[[int], None] | None = None
        self._end_parent: Callable[[], None] | None = None

    # --- birth and death -------------------------------------------------------------------------

    def born(
        self,
        made: dict[str, Any],
        pidfd: int,
        on_exit: Callable[[int], None],
        end_parent: Callable[[], None] | None = None,
    ) -> None:
        """Take the new process; `on_exit` will be called with its status word.

        It may still be another's child; `end_parent` ends that one, which makes it ours.
        """
        self.pid, self.start_time, self.pidfd = made["pid"], made["start_time"], pidfd
        self._end_parent = end_parent
        self._on_exit = on_exit
        self._loop.watch(pidfd, READABLE, self._child_ended)

    def connect(self, stdio: Stdio | None, console_fd: int) -> None:
        """Begin with the streams: of `stdio`, or of a terminal's master side, which is owned from now on."""
        if stdio is None:
            os.set_blocking(console_fd, False)
            self._console = console_fd
            streams = {os.dup(console_fd): "stdout"}
            stdin_fd = os.dup(console_fd) if self.with_stdin else -1
        else:
            streams, stdin_fd = stdio.outputs, stdio.outer_in
        self._output = Output(
            streams,
            self._loop,
            log_writer=self.log_writer,
            attachments=self.attachments,
            on_end=self._output_ended,
        )
        if stdin_fd >= 0:
            if self._stdin is None:
                self._stdin = Stdin(self._loop, self._input_room)
            self._stdin.open(stdin_fd)

    def _child_ended(self, _events: int) -> None:
        if self._end_parent is not None:
            self._end_parent()
            self._end_parent = None
        ended = process.wait_pidfd(self.pidfd, _WNOHANG)
        if ended is not None and self._on_exit is not None:
            self._loop.forget(self.pidfd)
            os.close(self.pidfd)
            self.pidfd = -1
            self._on_exit(ended[1])

    def drain(self) -> None:
        """Take all output that is left; to be called before the exit is told."""
        self.state = "stopped"
        if self._stdin is not None:
            self._stdin.close()
        if self._output is not None:
            self._output.drain()
        if self._output is None or self._output.ended:
            self._end_log()

    def finish(self) -> None:
        """After the exit is told: end the clients' streams behind the last byte."""
        if self._output is None or self._output.ended:
            self._end_clients()
        else:
            self._loop.call_after(_GRACE_S, self.close_output)

    def fail(self) -> None:
        """The process could not be started: let the clients go, their sockets open."""
        self.state = "stopped"
        self._end_log()
        self.dismiss()

    def dismiss(self) -> None:
        """Let the clients of a process that does not run go, their sockets open."""
        for each in tuple(self.attachments):
            each.finish(FAILED)

    def close_output(self) -> None:
        """Stop waiting for output that other holders of the pipes may still write."""
        if self._output is not None:
            self._output.close()

    def _output_ended(self) -> None:
        if self._console >= 0:
            os.close(self._console)
            self._console = -1
        if self.state == "stopped":
            self._end_clients()

    def _end_clients(self) -> None:
        self._end_log()
        for each in tuple(self.attachments):
            each.finish(EXITED)

    def _end_log(self) -> None:
        if self.log_writer is not None:
            self.log_writer.flush(time.time_ns())
            self.log_writer.close()
            self.log_writer = None

    # --- what is asked of it ---------------------------------------------------------------------

    def signal(self, number: int) -> None:
        """Send signal `number`.

        Raises:
            Conflict: it is not running.
        """
        if self.pidfd < 0:
            raise Conflict("process is not running")
        process.pidfd_send_signal(self.pidfd, number)

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size.

        Raises:
            Conflict: no terminal, or the process is not running.
        """
        if self._console < 0:
            raise Conflict("process has no terminal")
        tty.set_window_size(self._console, rows, columns)

    def attach(self, number: int, fd: int, wish: dict[str, Any], on_end: Callable[[int, str], None]) -> None:
        """Attach the client whose socket is `fd`, which is owned from now on.

        Raises:
            Conflict: the process is gone.
        """
        if self.state == "stopped":
            os.close(fd)
            raise Conflict("process is not running")
        stdin = None
        if wish["stdin"] and self.with_stdin:
            if self._stdin is None:
                self._stdin = Stdin(self._loop, self._input_room)
            stdin = self._stdin

        def ended(attachment: Attachment, reason: str) -> None:
            self.attachments.remove(attachment)
            on_end(number, reason)

        attachment = Attachment(
            number,
            fd,
            loop=self._loop,
            names=frozenset(name for name in ("stdout", "stderr") if wish[name]),
            framed=wish["framed"],
            stdin=stdin,
            closes_stdin=wish["close_stdin"] and not self.terminal,
            detach_keys=bytes.fromhex(wish["detach_keys"]) if self.terminal else b"",
            on_end=ended,
            on_room=self._output_room,
        )
        self.attachments.append(attachment)
        attachment.take_input(bytes.fromhex(wish["leftover"]))

    def _output_room(self) -> None:
        if self._output is not None:
            self._output.room()

    def _input_room(self) -> None:
        for each in tuple(self.attachments):
            each.resume_input()


def exit_code_of(status: int) -> int:
    """The exit code that a status word means: 128 + n after signal n."""
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)
