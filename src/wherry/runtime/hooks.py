"""Hooks: programs of the host that the configuration runs at points of a container's life.

A hook gets the container's state as JSON on stdin, the environment that the configuration names and no
other, `/` as its directory, and /dev/null or the runtime's own stderr for output.  One that fails before the
container starts stops the start; after that it is only reported.

Spec: runtime-spec, config.md, POSIX-platform Hooks.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without the enums of `signal`
import errno
import os
import select
import time

from wherry.diagnostics.logs import log
from wherry.files.json import dumps
from wherry.linux.process import close_range, pidfd_send_signal, wait_pidfd
from wherry.runtime.failures import InvalidSpec, StartFailed, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Hook = dict[str, Any]

OCI_VERSION = "1.2.0"
KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

_SIGKILL = 9
_LARGEST_OUTPUT = 16 * 1024


def state_document(
    container_id: str, *, status: str, pid: int, bundle: str, annotations: dict[str, str]
) -> dict[str, object]:
    """A container's state as the specification has it."""
    state: dict[str, object] = {
        "ociVersion": OCI_VERSION,
        "id": container_id,
        "status": status,
        "pid": pid,
        "bundle": bundle,
    }
    if annotations:
        state["annotations"] = annotations
    return state


def check_hooks(hooks: dict[str, list[Hook]]) -> None:
    """Refuse hooks that could never run.

    Raises:
        InvalidSpec: unknown kind, relative path.
    """
    for kind, entries in hooks.items():
        if kind not in KINDS:
            raise InvalidSpec(f"hook kind {kind!r} does not exist")
        for hook in entries:
            if not str(hook.get("path") or "").startswith("/"):
                raise InvalidSpec(f"{kind} hook path {hook.get('path')!r} is not absolute")


def run_hooks(kind: str, hooks: list[Hook], state: dict[str, object]) -> None:
    """Run the hooks of one kind in their order.

    Raises:
        StartFailed: the first that fails; those after it do not run.
    """
    for index, hook in enumerate(hooks):
        failure = _run(hook, dumps(state).encode())
        if failure:
            raise StartFailed(f"error running {kind} hook #{index}: {failure}")


def run_hooks_leniently(kind: str, hooks: list[Hook], state: dict[str, object]) -> None:
    """Run all hooks of one kind; a failure goes to the log, for the container has started or ended."""
    for index, hook in enumerate(hooks):
        failure = _run(hook, dumps(state).encode())
        if failure:
            log("warning", "hook failed", kind=kind, index=index, failure=failure)


def _run(hook: Hook, state: bytes) -> str:
    """Run one hook; returns what went wrong, or nothing."""
    timeout = hook.get("timeout")
    deadline = time.monotonic() + timeout if timeout else None
    state_read, state_write = os.pipe()
    output_read, output_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(hook, state_read, output_write)
    os.close(state_read)
    os.close(output_write)
    pidfd = os.pidfd_open(pid)
    try:
        output = _converse(state_write, state, output_read, pidfd, deadline)
        if output is None:
            pidfd_send_signal(pidfd, _SIGKILL)
            wait_pidfd(pidfd)
            return f"context deadline exceeded after {timeout} s"
        result = wait_pidfd(pidfd)
        code = os.waitstatus_to_exitcode(result[1]) if result else 0
        if code == 0:
            return ""
        said = output.decode("utf-8", "replace").strip()
        how = f"exit status {code}" if code > 0 else f"signal {-code}"
        return f"{how}, stderr: {said}"
    finally:
        os.close(output_read)
        os.close(pidfd)


def _converse(
    state_fd: int, state: bytes, output_fd: int, pidfd: int, deadline: float | None
) -> bytes | None:
    """Feed the state, gather the output until the hook ends; None when the deadline passes."""
    poll = select.poll()
    poll.register(state_fd, select.POLLOUT)
    poll.register(output_fd, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    os.set_blocking(state_fd, False)
    rest, output, ended = state, b"", False
    try:
        while not ended:
            left_ms = None if deadline is None else (deadline - time.monotonic()) * 1000
            ready = dict(poll.poll(None if left_ms is None else max(left_ms, 0)))
            if not ready:
                return None
            if state_fd in ready:
                rest = _feed(state_fd, rest)
                if not rest:
                    poll.unregister(state_fd)
                    os.close(state_fd)
                    state_fd = -1
            if output_fd in ready:
                said = os.read(output_fd, 4096)
                output = (output + said)[:_LARGEST_OUTPUT]
                if not said:  # a hook may close its output and run on
                    poll.unregister(output_fd)
            ended = pidfd in ready and output_fd not in ready
    finally:
        if state_fd >= 0:
            os.close(state_fd)
    return output


def _feed(fd: int, rest: bytes) -> bytes:
    try:
        return rest[os.write(fd, rest) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:  # a hook need not read its state
        return b""


def _become(hook: Hook, state_fd: int, output_fd: int) -> None:
    """In the child: become the hook's program.  Never returns."""
    try:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        for number in (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGINT):
            _signal.signal(number, _signal.SIG_DFL)
        os.chdir("/")
        os.dup2(state_fd, 0)
        os.dup2(output_fd, 1)
        os.dup2(output_fd, 2)
        close_range(3, 0x7FFFFFFF)
        path = str(hook["path"])
        environment = dict(
            pair.split("=", 1) for pair in hook.get("env") or [] if "=" in pair and not pair.startswith("=")
        )
        os.execve(path, [str(each) for each in hook.get("args") or [path]], environment)
    except OSError as error:
        text = f"fork/exec {hook.get('path')}: {reason(error)}"
        os.write(2, text.encode("utf-8", "replace"))
        os._exit(127 if error.errno == errno.ENOENT else 126)
    finally:
        os._exit(125)
