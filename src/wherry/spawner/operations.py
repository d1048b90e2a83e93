"""The operations: one thing each, in a child of the spawner that is free to change its own namespaces.

name           arguments   result
clean_bundle   bundle      exit, execs: what the dead shim's task came to
"""

from __future__ import annotations

import fcntl
import os
import time

from wherry.diagnostics.faults import fault_point
from wherry.errors import Unavailable
from wherry.runtime.cgroups import Cgroup
from wherry.shim import protocol, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Message = dict[str, Any]

_KILLED = 137
_LOCK_TIMEOUT_S = 20.0
_EMPTY_TIMEOUT_S = 30.0
_PAUSE_S = 0.005


def clean_bundle(arguments: Message, _fds: list[int]) -> Message:
    """Kill and remove what a dead shim left behind, and say how its task ended.

    The bundle's lock is held throughout, so that a shim whose start is still on its way ends at once.
    The answer is the same however often this is asked, and however often it is interrupted.
    """
    bundle_fd = os.open(arguments["bundle"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    _take_lock(bundle_fd)
    ended = records.read(bundle_fd, protocol.EXIT)
    cgroup = _cgroup_of(bundle_fd)
    if cgroup is not None:
        _end_cgroup(cgroup)
    fault_point("spawner.bundle-emptied")
    if ended is None:
        ended = {
            "exit_code": _KILLED,
            "at_ns": time.time_ns(),
            "oom_killed": False,
            "error": protocol.SHIM_LOST,
        }
        records.write(bundle_fd, protocol.EXIT, ended)
    fault_point("spawner.loss-recorded")
    return {"exit": ended, "execs": _exec_exits(bundle_fd)}


def _take_lock(bundle_fd: int) -> None:
    fd = os.open(protocol.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=bundle_fd)
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Unavailable("the bundle's shim is alive") from None
            time.sleep(_PAUSE_S)


def _cgroup_of(bundle_fd: int) -> Cgroup | None:
    record = records.read(bundle_fd, protocol.RECORD)
    if record is None:
        return None  # no shim came as far as to make anything
    path = record["cgroup"]
    if not path:
        # It died while creating; the configuration tells where the cgroup was to be.
        spec = records.read(bundle_fd, protocol.CONFIG) or {}
        path = (spec.get("linux") or {}).get("cgroupsPath") or ""
    return Cgroup.open(path) if path else None


def _end_cgroup(cgroup: Cgroup) -> None:
    deadline = time.monotonic() + _EMPTY_TIMEOUT_S
    while cgroup.pids():
        cgroup.kill()
        if time.monotonic() > deadline:
            raise Unavailable(f"processes of cgroup {cgroup.path} do not end")
        time.sleep(_PAUSE_S)
    fault_point("spawner.cgroup-killed")
    cgroup.delete()


def _exec_exits(bundle_fd: int) -> Message:
    try:
        directory_fd = os.open(protocol.EXECS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=bundle_fd)
    except FileNotFoundError:
        return {}
    names = [name for name in os.listdir(directory_fd) if name.endswith(".json") and name[0] != "."]
    return {name.removesuffix(".json"): records.read(directory_fd, name) for name in names}


OPERATIONS: dict[str, Callable[[Message, list[int]], Message]] = {"clean_bundle": clean_bundle}
