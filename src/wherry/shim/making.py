"""What helpers do: make the container with its init, and run execs in it.

    create   {"bundle", "id", "rootfs", "seccomp_cache"} + bundle [+ stdin, stdout, stderr]
             {"pid", "start_time", "cgroup", "shares_pid_namespace", "parts": [NAME, …]} + each part
    start    {}                                             the program runs

    exec     {"pid", "start_time", "parts": [NAME, …]} + each part

A part is a descriptor: "pidfd", "rootfs", "network", "mounts" or "console".  The helper that has created
stays until the start, for it holds the gate: when its socket ends it ends, and with it an init that was
not started.
"""

from __future__ import annotations

import os
import select

from wherry.diagnostics.faults import fault_point
from wherry.linux import process
from wherry.runtime import launch
from wherry.runtime.cgroups import Cgroup
from wherry.shim import learned, protocol, records, rootfs
from wherry.shim.helper import answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any

    Message = dict[str, Any]


def create(sock: _socket.socket) -> None:
    """Wait for the request, create, wait for the start, start.

    What can be done without the request is done before it comes.
    """
    ahead = None if _is_readable(sock) else _make_spare()
    received = protocol.receive(sock)
    if received is None:
        return
    request, (bundle_fd, *stdio) = received
    spec = records.read(bundle_fd, protocol.CONFIG) or {}
    if ahead is not None:
        ahead.announce(spec)
    root_fd = rootfs.assemble(request["rootfs"])
    fault_point("shim.rootfs-mounted")
    launched = launch.create_init(
        spec,
        container_id=request["id"],
        bundle=request["bundle"],
        stdio=(stdio[0], stdio[1], stdio[2]) if stdio else None,
        rootfs_fd=root_fd,
        seccomp_cache=request["seccomp_cache"],
        ahead=ahead,
    )
    fault_point("shim.init-created")
    for fd in stdio:
        os.close(fd)
    _answer_created(sock, launched, root_fd, shares_pid_namespace=_shares_pid_namespace(spec))
    if ahead is not None:
        ahead.end()
    if protocol.receive(sock) is not None:
        learned.learn_flags(launched.clone_flags)
        learned.learn_pages(learned.INIT, launched.pid)
        launched.start()
        answer(sock, {})
        learned.learn_pages(learned.HELPER)


def _make_spare() -> launch.Spare | None:
    flags = learned.flags(launch.USUAL_FLAGS)
    ahead = launch.make_spare(flags, lambda: learned.take_pages(learned.INIT))
    learned.take_pages(learned.HELPER)  # after the clone, which shares all pages anew
    return ahead


def _answer_created(
    sock: _socket.socket, launched: launch.Init, root_fd: int, *, shares_pid_namespace: bool
) -> None:
    parts = {
        "pidfd": launched.pidfd,
        "rootfs": root_fd,
        "network": launched.network_fd,
        "mounts": launched.mount_ns_fd,
        "console": launched.console_fd,
    }
    made = {
        "pid": launched.pid,
        "start_time": launched.start_time,
        "cgroup": launched.cgroup.path,
        "shares_pid_namespace": shares_pid_namespace,
    }
    _answer_with(sock, made, parts)


def _is_readable(sock: _socket.socket) -> bool:
    waiting = select.poll()
    waiting.register(sock.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def run_exec(
    sock: _socket.socket,
    plan: Message,
    *,
    bundle_fd: int,
    container_id: str,
    init: tuple[int, int],
    cgroup: Cgroup,
    stdio: tuple[int, int, int] | None,
    seccomp_cache: str | None,
) -> None:
    """Run one more program in the container of `init` (pid, pidfd)."""
    launched = launch.exec_process(
        plan,
        spec=records.read(bundle_fd, protocol.CONFIG) or {},
        init_pid=init[0],
        init_pidfd=init[1],
        cgroup=cgroup,
        container_id=container_id,
        stdio=stdio,
        seccomp_cache=seccomp_cache,
    )
    made = {"pid": launched.pid, "start_time": process.process_start_time(launched.pid)}
    _answer_with(sock, made, {"pidfd": launched.pidfd, "console": launched.console_fd})


def _answer_with(sock: _socket.socket, made: Message, parts: dict[str, int]) -> None:
    there = {name: fd for name, fd in parts.items() if fd >= 0}
    answer(sock, made | {"parts": list(there)}, list(there.values()))


def _shares_pid_namespace(spec: Message) -> bool:
    namespaces = (spec.get("linux") or {}).get("namespaces") or []
    return not any(each["type"] == "pid" and not each.get("path") for each in namespaces)
