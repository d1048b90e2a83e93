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
from wherry.linux import namespaces
from wherry.linux.process import SIGCHLD, clone3, pidfd_send_signal, process_start_time, wait_pidfd
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
    sync,
    sysctl,
)
from wherry.runtime.cgroups import Cgroup
from wherry.runtime.failures import StartFailed, reason
from wherry.runtime.plan import Plan, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Spec = dict[str, Any]

__all__ = ["Exec", "Init", "StartFailed", "create_init", "exec_process", "run_poststop", "warm_up"]

_SIGKILL = 9
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


class Started:
    """A process that has been made and waits at its gate, or runs."""

    __slots__ = ("_channel", "console_fd", "pid", "pidfd")

    def __init__(self, pid: int, pidfd: int, channel: sync.Channel) -> None:
        self.pid = pid
        self.pidfd = pidfd  # the caller's, as is console_fd
        self.console_fd = -1  # the terminal's master side
        self._channel = channel

    def abort(self) -> int:
        """Kill and reap the process, close all descriptors; returns its status word."""
        self._channel.close()
        status = 0
        try:
            pidfd_send_signal(self.pidfd, _SIGKILL)
            result = wait_pidfd(self.pidfd)
            status = result[1] if result else 0
        except (ProcessLookupError, ChildProcessError):
            pass  # reaped already
        sync.close_quietly(self.pidfd, self.console_fd)
        self.pidfd = self.console_fd = -1
        return status


class Init(Started):
    """The first process of a container."""

    __slots__ = ("_bundle", "_container_id", "_plan", "cgroup", "mount_ns_fd", "network_fd", "start_time")

    def __init__(
        self, started: Started, plan: Plan, cgroup: Cgroup, *, container_id: str, bundle: str
    ) -> None:
        super().__init__(started.pid, started.pidfd, started._channel)
        self.console_fd = started.console_fd
        self.cgroup = cgroup
        self.network_fd = _open_namespace(self.pid, "net")
        self.mount_ns_fd = _open_namespace(self.pid, "mnt")
        self.start_time = process_start_time(self.pid)
        self._plan = plan
        self._container_id = container_id
        self._bundle = bundle

    def start(self) -> None:
        """Let the process go; returns when its program runs.

        Raises:
            StartFailed: execve failed; the process is ending, its status is for the caller to reap.
        """
        fault_point("start.gate")
        sync.await_execve(self._channel)
        self._channel.close()
        poststart = self._plan.hooks.get("poststart") or []
        hooks.run_hooks_leniently("poststart", poststart, self.state("running"))

    def abort(self) -> int:
        """Kill and reap the process, close its descriptors and remove its cgroup."""
        status = super().abort()
        sync.close_quietly(self.network_fd, self.mount_ns_fd)
        self.network_fd = self.mount_ns_fd = -1
        self.cgroup.kill()
        self.cgroup.delete()
        self.cgroup.close()
        return status

    def detach(self) -> None:
        """Leave the process waiting at the gate that `create_init` was given, for another to open."""
        self._channel.close()
        sync.close_quietly(self.pidfd, self.console_fd, self.network_fd, self.mount_ns_fd)
        self.cgroup.close()

    def state(self, status: str) -> dict[str, object]:
        """The state document that hooks get."""
        return hooks.state_document(
            self._container_id,
            status=status,
            pid=self.pid,
            bundle=self._bundle,
            annotations=self._plan.annotations,
        )


class Exec(Started):
    """A process that has joined a container and runs its program."""

    __slots__ = ()


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
) -> Init:
    """Make a container and its first process, which waits at the gate with all set up but execve.

    `stdio` are the three standard streams, ignored where the configuration asks for a terminal.
    `rootfs_fd` is a detached mount to be the root, else root.path of the bundle; it stays the caller's.
    `preserve_fds` passes descriptors 3 and up on.  `console_size` is (rows, columns).  `gate_fd` is a
    listening socket for a start by another process.

    Raises:
        InvalidSpec: the configuration.
        StartFailed: everything else, with what it was as its text.
    """
    plan = Plan(spec)
    hooks.check_hooks(plan.hooks)
    limits = rlimits.parse_rlimits(plan.process.rlimits)
    confinement.check_modules(plan.process, plan.mount_label)
    if console_size:
        plan.process.console_size = console_size
    setup = init.Setup(plan.process, container_id)
    setup.plan, setup.bundle, setup.stdio = plan, bundle, stdio
    setup.preserve_fds, setup.gate_fd, setup.keyring = preserve_fds, gate_fd, new_keyring
    setup.sysctls = [(sysctl.path_of(key, plan.namespaces), str(value)) for key, value in plan.sysctl.items()]
    filters.prepare(setup, plan.linux.get("seccomp"), seccomp_cache)
    cgroup = Cgroup.create(plan.cgroups_path or container_id, plan.linux.get("resources"))
    fault_point("create.cgroup-made")
    try:
        setup.cgroup = cgroup
        ours, setup.channel = sync.pair()
        try:
            _open_for_child(setup, plan, rootfs_fd)
            pid, pidfd = _clone_init(setup, plan)
        finally:
            setup.close()
        started = Started(pid, pidfd, ours)
        try:
            fault_point("create.cloned")
            _attend(started, plan, setup, limits)
            return Init(started, plan, cgroup, container_id=container_id, bundle=bundle)
        except BaseException:
            started.abort()
            raise
    except BaseException:
        cgroup.kill()
        cgroup.delete()
        cgroup.close()
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
    limits = rlimits.parse_rlimits(who.rlimits)
    confinement.check_modules(who, "")
    if console_size:
        who.console_size = console_size
    kinds = {str(entry.get("type")) for entry in linux.get("namespaces") or []}
    setup = init.Setup(who, container_id)
    setup.stdio, setup.preserve_fds = stdio, preserve_fds
    setup.join_pidfd = init_pidfd
    setup.join_flags = sum(namespaces.NAMESPACE_FLAGS[kind] for kind in kinds - {"pid"})
    filters.prepare(setup, linux.get("seccomp"), seccomp_cache)
    cgroup_fd = cgroup.clone_fd(beside=init_pid)
    if cgroup_fd < 0:
        setup.cgroup = cgroup
    ours, setup.channel = sync.pair()
    try:
        pid_fd = init_pidfd if "pid" in kinds else -1
        pid, pidfd = _clone_into(setup, init.run_exec, 0, pid_fd, cgroup_fd)
    finally:
        setup.close()
    started = Exec(pid, pidfd, ours)
    try:
        fault_point("exec.cloned")
        _set_oom_score(pid, who)
        _converse(started, None, setup, limits)
        sync.await_execve(ours)
    except BaseException:
        started.abort()
        raise
    ours.close()
    return started


def run_poststop(spec: Spec, *, container_id: str, bundle: str) -> None:
    """Run the hooks of a container that has been deleted; a failure is only reported."""
    kinds = spec.get("hooks") or {}
    state = hooks.state_document(
        container_id, status="stopped", pid=0, bundle=bundle, annotations=spec.get("annotations") or {}
    )
    hooks.run_hooks_leniently("poststop", kinds.get("poststop") or [], state)


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


def _clone_init(setup: init.Setup, plan: Plan) -> tuple[int, int]:
    """The child, in all new namespaces at once: the network namespace belongs to the user namespace."""
    assert setup.cgroup is not None
    cgroup_fd = setup.cgroup.clone_fd()
    if cgroup_fd >= 0:
        setup.cgroup = None
    late = {"mount", "cgroup", *({"time"} if plan.time_offsets else ())}
    flags = sum(namespaces.NAMESPACE_FLAGS[kind] for kind in plan.namespaces.create - late)
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


def _attend(started: Started, plan: Plan, setup: init.Setup, limits: list[rlimits.Limit]) -> None:
    """Do for the new process what it cannot do itself, until it is ready."""
    if plan.new_user_namespace:
        uids = idmap.mapping_text(plan.linux.get("uidMappings") or [])
        gids = idmap.mapping_text(plan.linux.get("gidMappings") or [])
        idmap.write_mappings(started.pid, uids, gids)
        started._channel.send(sync.MAPPED)
    _set_oom_score(started.pid, plan.process)
    _converse(started, plan, setup, limits)


def _converse(started: Started, plan: Plan | None, setup: init.Setup, limits: list[rlimits.Limit]) -> None:
    """Answer the process until it says that it is ready.

    Raises:
        StartFailed: its report, or that it has died.
    """
    channel = started._channel
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
            rlimits.set_rlimits(started.pid, limits)
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


def _set_oom_score(pid: int, who: Process) -> None:
    """Set the score from outside: a process that is not dumpable may not write its own.

    Raises:
        StartFailed: lowering it takes CAP_SYS_RESOURCE.
    """
    if who.oom_score_adj is None:
        return
    try:
        fd = os.open(f"/proc/{pid}/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
        try:
            # Only a change needs a right: an unprivileged runtime may ask for what is anyway so.
            if int(os.read(fd, 16)) != who.oom_score_adj:
                os.write(fd, b"%d" % who.oom_score_adj)
        finally:
            os.close(fd)
    except OSError as error:
        raise StartFailed(f"set oom_score_adj to {who.oom_score_adj}: {reason(error)}") from error


def _open_namespace(pid: int, name: str) -> int:
    """A descriptor of the process's namespace, -1 when the process has ended meanwhile."""
    try:
        return os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
