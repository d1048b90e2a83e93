"""One daemon for each data root and each exec root.

A root is locked by flock(2) on a file in it, which the kernel drops however the holder ends; the holder's
number, and in a second line where it listens, stand in the file only to be shown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wherry.errors import Conflict
from wherry.files.locks import FileLock, Locked

_NAME = "wherryd.lock"
_POLL_S = 0.05


class RootInUse(Conflict):
    """Another daemon has the root."""

    def __init__(self, root: Path, holder: str) -> None:
        pid, _, addresses = holder.partition("\n")
        steps = [f"speak to it at {addresses}"] if addresses else []
        steps += [f"end it with: kill {pid}"] if pid else []
        super().__init__(
            f"{root} is in use by another wherryd (pid {pid or 'unknown'})",
            hint=", or ".join([*steps, "give this one roots of its own with --data-root and --exec-root"]),
        )


@contextmanager
def held_root(root: Path, *, addresses: str = "", wait_s: float = 0) -> Iterator[None]:
    """Hold `root`, made if needed and closed to others, for the length of the block.

    `addresses` is where clients reach the holder, to be shown; `wait_s` is for a daemon that is started
    while another one is ending.

    Raises:
        RootInUse: naming the holder.
    """
    root.mkdir(mode=0o710, parents=True, exist_ok=True)
    path = root / _NAME
    deadline = time.monotonic() + wait_s
    while True:
        try:
            lock = FileLock.acquire(path)
            break
        except Locked:
            if time.monotonic() >= deadline:
                raise RootInUse(root, _holder(path)) from None
            time.sleep(_POLL_S)
    with lock:
        os.ftruncate(lock.fd, 0)
        os.pwrite(lock.fd, os.fsencode("".join(f"{line}\n" for line in (os.getpid(), addresses) if line)), 0)
        yield


def _holder(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


@contextmanager
def pidfile(path: Path) -> Iterator[None]:
    """Write our number to `path` for the length of the block.

    Raises:
        Conflict: the daemon it names is alive.
    """
    holder = _holder(path)
    if holder.isdecimal() and int(holder) != os.getpid() and _is_daemon(holder):
        raise Conflict(f"process with PID {holder} is still running, ensure it is not, or delete {path}")
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _is_daemon(pid: str) -> bool:
    """Whether the process is a daemon of ours: numbers are used again, after a crash for anything."""
    try:
        return b"wherry.daemon.main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
