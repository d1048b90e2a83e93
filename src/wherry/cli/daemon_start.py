"""The daemon on demand: the first command that finds none starts one.

Only for the default socket and only for root.  Two commands at once start one daemon: the start
lock is held until the socket answers, and whoever gets it second finds a daemon.  The daemon is
the `wherryd` beside this program, in a session of its own, with its own log, and it ends after ten
idle minutes without containers.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import errno
import fcntl
import os
import sys
import time

from wherry.client.failures import ConnectionFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.client.endpoint import Endpoint

IDLE_EXIT_S = 600
READY_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.005
LOG_PATH = "/var/log/wherryd.log"
_TAIL_BYTES = 2048


def start_daemon(endpoint: Endpoint) -> bool:
    """Start a daemon that serves `endpoint`; False where that is not ours to do.

    Returns when it answers.

    Raises:
        ConnectionFailed: it ended or does not answer, with the end of its log.
    """
    if os.geteuid() != 0 or endpoint.scheme != "unix":
        return False
    if _connection_error(endpoint.address) not in (errno.ENOENT, errno.ECONNREFUSED):
        return True
    program = daemon_program()
    if program is None:
        return False
    run_directory = os.path.dirname(endpoint.address)
    os.makedirs(run_directory, mode=0o711, exist_ok=True)
    lock = os.open(os.path.join(run_directory, "start.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _connection_error(endpoint.address) == 0:
            return True  # somebody else was first
        offset = _log_size()
        _wait_ready(endpoint, _spawn(program), offset)
        return True
    finally:
        os.close(lock)


def daemon_program() -> str | None:
    """The `wherryd` beside our interpreter or on PATH."""
    candidates = [os.path.join(os.path.dirname(sys.executable), "wherryd")]
    candidates += [
        os.path.join(directory, "wherryd") for directory in os.environ.get("PATH", "").split(":") if directory
    ]
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


def _spawn(program: str) -> int:
    """The pid of a new daemon: a session and directory of its own, no terminal, output to the log."""
    arguments = [program, "--idle-exit-s", str(IDLE_EXIT_S)]
    log = os.open(LOG_PATH, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            os.chdir("/")  # or it would hold the caller's directory, and the mount under it
            os.umask(0o022)
            _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
            for target, source in ((0, nothing), (1, log), (2, log)):
                os.dup2(source, target)
            os.execv(program, arguments)
        finally:
            os._exit(127)
    os.close(log)
    os.close(nothing)
    return pid


def _wait_ready(endpoint: Endpoint, pid: int, log_offset: int) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if _connection_error(endpoint.address) == 0:
            return
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            reason = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
            raise _failure(f"the daemon {reason}", log_offset)
        time.sleep(POLL_INTERVAL_S)
    raise _failure(f"the daemon does not answer at {endpoint.host} after {READY_TIMEOUT_S:.0f} s", log_offset)


def _connection_error(path: str) -> int:
    """0 when something accepts on `path`, else the errno."""
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        probe.connect(path)
    except OSError as error:
        return error.errno or errno.EIO
    finally:
        probe.close()
    return 0


def _log_size() -> int:
    try:
        return os.stat(LOG_PATH).st_size
    except OSError:
        return 0


def _failure(message: str, log_offset: int) -> ConnectionFailed:
    try:
        with open(LOG_PATH, "rb") as file:
            file.seek(max(log_offset, _log_size() - _TAIL_BYTES))
            tail = file.read().decode("utf-8", "replace").strip()
    except OSError:
        tail = ""
    text = f"failed to start the daemon: {message}"
    return ConnectionFailed(f"{text}; its log ({LOG_PATH}) ends with:\n{tail}" if tail else text)
