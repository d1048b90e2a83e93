"""Starting processes: a container's first, and those that join it.

    create_init     plan ─ cgroup ─ sources ─ clone3 ─┬─ parent: mappings, oom score, hooks, limits
                                                      └─ child:  `init`, up to the gate
    Init.start      opens the gate; returns when execve has succeeded

The caller has a single thread, is the subreaper of its children, and reaps them by their pidfd.  What
fails is undone before the failure is raised: no process, cgroup or mount stays.
"""

from __future__ import annotations

import gc
import os

from wherry.diagnostics.faults import fault_point
from wherry.errors import WherryError
from wherry.linux import namespaces
from wherry.linux.process import SIGCHLD, clone3
from wherry.runtime import (
    confinement,
    devices,
    filters,
    hooks,
    idmap,
    init,
    middle,
    mounts,
    rlimits,
    skeleton,
    spare,
    sync,
    sysctl,
)
from wherry.runtime.cgroups import Cgroup
from wherry.runtime.failures import StartFailed, reason
from wherry.runtime.plan import Plan, Process
from wherry.runtime.spare import USUAL_FLAGS, Spare
from wherry.runtime.started import Exec, Init, Started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Spec = dict[str, Any]

__all__ = [
    "USUAL_FLAGS", "Exec", "Init", "Spare", "StartFailed", "create_init", "exec_process", "make_spare",
    "run_poststop", "warm_up",
]  # fmt: skip

# A hook of these kinds may look for the rootfs at its path on the host, in the container's namespace.
_SEEING_HOST_PATHS = ("prestart", "createRuntime", "createContainer")
_skeleton_fd = -1


def warm_up() -> list[int]:
    """Prepare a process that will start many containers, or whose children will.

    Returns the descriptors that this takes; a child that is to profit from it must not close them.
    """
    global _skeleton_fd
    confinement.bounding_bits()
    if _skeleton_fd < 0:
        _skeleton_fd = skeleton.make_skeleton()
    gc.freeze()
    return [_skeleton_fd]


def make_spare(flags: int, prepare: Callable[[], None]) -> Spare | None:
    """A first process made ahead, for `create_init`; None where that is not possible.

    `flags` are the `clone_flags` of the containers that are expected.  It calls `prepare` before it waits.
    """
    return spare.make_spare(flags, _skeleton_fd, prepare)


def create_init(
    spec: Spec,
    *,
    container_id: str,
    bundle: str,
    stdio: tuple[int, int, int] | None,
    rootfs_fd: int = -1,
    seccomp_cache: str | None = None,
    preserve_fds: int = 0,
    console_size: tuple[int, int] | None = None,
    gate_fd: int = -1,
    new_keyring: bool = True,
    ahead: Spare | None = None,
) -> Init:
    """Make a container and its first process, which waits at the gate with all set up but execve.

    `stdio` are the three standard streams, ignored where the configuration asks for a terminal.
    `rootfs_fd` is a detached mount to be the root, else root.path of the bundle; it stays the caller's.
    `preserve_fds` passes descriptors 3 and up on.  `console_size` is (rows, columns).  `gate_fd` is a
    listening socket for a start by another process.  `ahead`, which knows `spec`, stays the caller's.

    Raises:
        InvalidSpec: the configuration.
        StartFailed: everything else, with what it was as its text.
    """
    plan = Plan(spec)
    hooks.check_hooks(plan.hooks)
    confinement.check_modules(plan.process, plan.mount_label)
    setup = init.Setup(plan.process, container_id)
    setup.plan, setup.bundle, setup.stdio = plan, bundle, stdio
    setup.preserve_fds, setup.gate_fd, setup.keyring = preserve_fds, gate_fd, new_keyring
    _prepare(setup, plan.linux, seccomp_cache, console_size)
    cgroup = Cgroup.create(plan.cgroups_path or container_id, plan.linux.get("resources"))
    fault_point("create.cgroup-made")
    setup.cgroup = cgroup
    try:
        return _launch(setup, plan, cgroup, rootfs_fd, ahead)
    except BaseException as error:
        _remove_cgroup(cgroup, error)
        raise


def exec_process(
    process: Spec,
    *,
    spec: Spec,
    init_pid: int,
    init_pidfd: int,
    cgroup: Cgroup,
    stdio: tuple[int, int, int] | None,
    container_id: str = "",
    seccomp_cache: str | None = None,
    preserve_fds: int = 0,
    console_size: tuple[int, int] | None = None,
) -> Exec:
    """Run one more program in the container whose first process is `init_pid`.

    Raises:
        InvalidSpec: the process.
        StartFailed: also for a program that cannot be executed.
    """
    who = Process(process)
    linux = spec.get("linux") or {}
    confinement.check_modules(who, "")
    kinds = {str(entry.get("type")) for entry in linux.get("namespaces") or []}
    setup = init.Setup(who, container_id)
    setup.stdio, setup.preserve_fds = stdio, preserve_fds
    setup.join_pidfd = init_pidfd
    setup.join_flags = sum(namespaces.NAMESPACE_FLAGS[kind] for kind in kinds - {"pid"})
    _prepare(setup, linux, seccomp_cache, console_size)
    cgroup_fd = cgroup.clone_fd(beside=init_pid)
    if cgroup_fd < 0:
        setup.cgroup = cgroup
    return _launch_beside(setup, init_pidfd if "pid" in kinds else -1, cgroup_fd)


def run_poststop(spec: Spec, *, container_id: str, bundle: str) -> None:
    """Run the hooks of a container that has been deleted; a failure is only reported."""
    kinds = spec.get("hooks") or {}
    state = hooks.state_document(
        container_id, status="stopped", pid=0, bundle=bundle, annotations=spec.get("annotations") or {}
    )
    hooks.run_hooks_leniently("poststop", kinds.get("poststop") or [], state)


def _prepare(
    setup: init.Setup, linux: Spec, seccomp_cache: str | None, console_size: tuple[int, int] | None
) -> None:
    """What both kinds of process need before there is anything to undo."""
    if setup.plan is not None:
        spaces, sysctls = setup.plan.namespaces, setup.plan.sysctl
        setup.sysctls = [(sysctl.path_of(key, spaces), str(value)) for key, value in sysctls.items()]
    setup.limits = rlimits.parse_rlimits(setup.process.rlimits)
    if console_size:
        setup.process.console_size = console_size
    filters.prepare(setup, linux.get("seccomp"), seccomp_cache)


def _launch(setup: init.Setup, plan: Plan, cgroup: Cgroup, rootfs_fd: int, ahead: Spare | None) -> Init:
    """Make the first process and see it to the gate; a failure leaves no process."""
    try:
        _open_for_child(setup, plan, rootfs_fd)
        started = (ahead.take(setup) if ahead is not None else None) or _clone_init(setup, plan)
    finally:
        setup.close()
    try:
        fault_point("create.cloned")
        _attend(started, plan, setup)
        return Init(started, plan, cgroup, container_id=setup.container_id, bundle=setup.bundle)
    except BaseException:
        started.abort()
        raise


def _launch_beside(setup: init.Setup, pid_fd: int, cgroup_fd: int) -> Exec:
    """Make a process that joins and runs its program; a failure leaves no process."""
    ours, setup.channel = sync.pair()
    try:
        pid, pidfd = _clone_into(setup, init.run_exec, 0, pid_fd, cgroup_fd)
    except BaseException:
        ours.close()
        raise
    finally:
        setup.channel.close()
        setup.close()
    started = Exec(pid, pidfd, ours)
    try:
        fault_point("exec.cloned")
        rlimits.set_oom_score(pid, setup.process.oom_score_adj)
        _converse(started, None, setup)
        sync.await_execve(ours)
    except BaseException:
        started.abort()
        raise
    ours.close()
    return started


def _remove_cgroup(cgroup: Cgroup, cause: BaseException) -> None:
    """Undo its making; a failure of that does not hide the cause."""
    try:
        cgroup.kill()
        cgroup.delete()
    except (OSError, WherryError) as error:
        cause.add_note(f"remove cgroup {cgroup.path}: {error}")
    finally:
        cgroup.close()


def _open_for_child(setup: init.Setup, plan: Plan, rootfs_fd: int) -> None:
    """Open all that the child takes from the host; closed by `Setup.close`."""
    assert setup.cgroup is not None
    mounts.open_sources(plan, setup.sources, bundle=setup.bundle, rootfs_fd=rootfs_fd, cgroup=setup.cgroup)
    if devices.has_own_dev(plan):
        setup.devices = devices.planned_devices(plan)
        if plan.in_user_namespace:
            setup.host_devices = devices.open_host_devices(setup.devices)
    for kind, path in plan.namespaces.join.items():
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StartFailed(f"lstat {path}: {reason(error)}") from error
        setup.join_fds.append((kind, fd))
    host_hooks = any(plan.hooks.get(kind) for kind in _SEEING_HOST_PATHS)
    if host_hooks and rootfs_fd < 0:
        setup.root_at = os.path.join(setup.bundle, plan.root_path)
    if not (host_hooks or plan.in_user_namespace or plan.time_offsets or mounts.needs_host_paths(plan)):
        # In a user namespace procfs may be mounted only where the host's is in sight.
        setup.skeleton_fd = _skeleton_fd


def _clone_init(setup: init.Setup, plan: Plan) -> Started:
    """The child, in all new namespaces at once: the network namespace belongs to the user namespace."""
    assert setup.cgroup is not None
    cgroup_fd = setup.cgroup.clone_fd()
    if cgroup_fd >= 0:
        setup.cgroup = None
    ours, setup.channel = sync.pair()
    try:
        return Started(*_clone_joined(setup, plan.clone_flags, cgroup_fd), ours)
    except BaseException:
        ours.close()
        raise
    finally:
        setup.channel.close()


def _clone_joined(setup: init.Setup, flags: int, cgroup_fd: int) -> tuple[int, int]:
    """The child, made by way of the namespaces that must be joined before: user and pid."""
    joined = dict(setup.join_fds)
    if "user" in joined:
        return middle.clone_through(setup, joined.pop("user"), flags, cgroup_fd)
    pid_fd = joined.get("pid", -1)
    setup.join_fds = [(kind, fd) for kind, fd in setup.join_fds if kind != "pid"]
    try:
        return _clone_into(setup, init.run_init, flags, pid_fd, cgroup_fd)
    finally:
        sync.close_quietly(pid_fd)


def _clone_into(setup: init.Setup, steps: Any, flags: int, pid_fd: int, cgroup_fd: int) -> tuple[int, int]:
    """Fork a child that runs `steps`; with `pid_fd` in that pid namespace, which only a child enters."""
    own = -1
    try:
        if pid_fd >= 0:
            own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            namespaces.setns(pid_fd, namespaces.CLONE_NEWPID)
        pid, pidfd = clone3(flags, cgroup_fd=cgroup_fd, exit_signal=SIGCHLD)
        if pid == 0:
            gc.disable()  # a collection would touch, and so copy, every page that holds an object
            steps(setup)
    except OSError as error:
        raise StartFailed(f"clone: {reason(error)}") from error
    finally:
        if own >= 0:
            namespaces.setns(own, namespaces.CLONE_NEWPID)
            os.close(own)
    return pid, pidfd


def _attend(started: Started, plan: Plan, setup: init.Setup) -> None:
    """Do for the new process what it cannot do itself, until it is ready."""
    if plan.new_user_namespace:
        uids = idmap.mapping_text(plan.linux.get("uidMappings") or [])
        gids = idmap.mapping_text(plan.linux.get("gidMappings") or [])
        idmap.write_mappings(started.pid, uids, gids)
        started.channel.send(sync.MAPPED)
    rlimits.set_oom_score(started.pid, plan.process.oom_score_adj)
    _converse(started, plan, setup)


def _converse(started: Started, plan: Plan | None, setup: init.Setup) -> None:
    """Answer the process until it says that it is ready.

    Raises:
        StartFailed: its report, or that it has died.
    """
    channel = started.channel
    while True:
        tag, payload, fd = channel.receive()
        if tag == sync.READY:
            return
        if tag == sync.CONSOLE:
            started.console_fd = fd
        elif tag == sync.HOOKS and plan is not None:
            state = hooks.state_document(
                setup.container_id,
                status="creating",
                pid=started.pid,
                bundle=setup.bundle,
                annotations=plan.annotations,
            )
            for kind in ("prestart", "createRuntime"):
                hooks.run_hooks(kind, plan.hooks.get(kind) or [], state)
            channel.send(sync.GO)
        elif tag == sync.LIMITS:
            rlimits.set_rlimits(started.pid, setup.limits)
            channel.send(sync.GO)
        elif tag == sync.NOTIFY:
            filters.hand_over(fd, setup, started.pid)
            channel.send(sync.GO)
        elif tag == sync.ERROR:
            raise sync.decode_failure(payload)
        else:
            raise StartFailed(f"container init process {_how_it_died(started)}")


def _how_it_died(started: Started) -> str:
    code = os.waitstatus_to_exitcode(started.abort())
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
