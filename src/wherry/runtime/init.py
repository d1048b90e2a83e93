"""From the fork to execve: the ordered steps of a container's first process, and of one that joins it.

Both functions run in the child and never return.  Whatever goes wrong is the child's last message to its
parent (`sync`).  The order is the security of the whole: each step says why it stands where it does.
"""

from __future__ import annotations

import _socket
import fcntl
import os

from wherry.diagnostics.faults import fault_point
from wherry.linux import keyring, namespaces, process, seccomp
from wherry.linux.libc import syscall
from wherry.runtime import (
    confinement,
    console,
    devices,
    hooks,
    identity,
    mounts,
    procfs,
    rootfs,
    signals,
    sync,
    sysctl,
)
from wherry.runtime.command import execute, find_command
from wherry.runtime.failures import StartFailed, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from wherry.runtime import rlimits
    from wherry.runtime.cgroups import Cgroup
    from wherry.runtime.plan import Plan, Process

_HIGHEST_FD = 0x7FFFFFFF
_SETDOMAINNAME = {"x86_64": 171, "aarch64": 162}
_UNSHARED_LATE = {"cgroup": namespaces.CLONE_NEWCGROUP, "mount": namespaces.CLONE_NEWNS}


class Setup:
    """What the parent has prepared for its child.  A descriptor of -1 stands for none."""

    __slots__ = (
        "bundle", "cgroup", "channel", "container_id", "devices", "gate_fd", "host_devices", "join_fds",
        "join_flags", "join_pidfd", "keyring", "limits", "listener_metadata", "listener_path",
        "may_set_groups", "plan", "preserve_fds", "process", "root_at", "seccomp_flags", "seccomp_notify",
        "seccomp_program", "skeleton_fd", "sources", "stdio", "sysctls",
    )  # fmt: skip

    channel: sync.Channel

    def __init__(self, process: Process, container_id: str) -> None:
        self.process = process
        self.container_id = container_id
        self.cgroup: Cgroup | None = None  # to be joined
        self.stdio: tuple[int, int, int] | None = None
        self.preserve_fds = 0
        self.seccomp_program: bytes | None = None
        self.seccomp_flags = 0
        self.seccomp_notify = False
        self.listener_path = ""
        self.listener_metadata = ""
        self.keyring = True
        self.limits: list[rlimits.Limit] = []  # set by the parent
        self.may_set_groups = True
        self.gate_fd = -1
        # Of an init process:
        self.bundle = ""
        self.plan: Plan | None = None
        self.sources = mounts.Sources()
        self.devices: list[devices.Device] = []
        self.host_devices: dict[str, int] = {}
        self.join_fds: list[tuple[str, int]] = []
        self.skeleton_fd = -1
        self.root_at = "/"
        self.sysctls: list[tuple[str, str]] = []
        # Of a process that joins:
        self.join_pidfd = -1
        self.join_flags = 0

    def close(self) -> None:
        """Close, in the parent, what was opened for the child; the channel is closed by who made it."""
        self.sources.close()
        sync.close_quietly(*self.host_devices.values(), *(fd for _, fd in self.join_fds))


def run_init(setup: Setup) -> NoReturn:
    """The first process of a container."""
    plan = setup.plan
    assert plan is not None
    _guarded(setup, lambda: _set_up_container(setup, plan))


def run_exec(setup: Setup) -> NoReturn:
    """A process that joins a running container."""
    _guarded(setup, lambda: _join_container(setup))


def _guarded(setup: Setup, steps: object) -> NoReturn:
    try:
        assert callable(steps)
        steps()
    except BaseException as error:
        setup.channel.report(error)
    os._exit(1)


def _set_up_container(setup: Setup, plan: Plan) -> None:
    tree = mounts.Tree(setup.sources.root)
    # The cgroup first: it needs descriptors that are closed next, and its namespace is rooted where
    # the process is.
    _join_cgroup(setup)
    # Then every descriptor but the ones we use: nothing of the parent's stays in reach of anything.
    _take_descriptors(setup)
    signals.reset_signals()
    # Mappings before all else that asks who we are; root of the namespace owns what is made below.
    if plan.in_user_namespace:
        _become_root(setup, mapped_by_parent=plan.new_user_namespace)
    # Not to be looked into (/proc/PID, ptrace) by what is in the namespaces joined next (CVE-2016-9962).
    process.set_dumpable(False)
    fault_point("init.entering")  # the last place from which a test's file on the host can be found
    _enter_namespaces(setup, plan)
    # The root is attached before any mount is made, and every mount is made below its descriptor.
    rootfs.attach_root(tree, at=setup.root_at, skeleton=setup.skeleton_fd >= 0)
    os.umask(0)  # modes of nodes and directories are exact
    mounts.mount_all(plan, setup.sources, tree)
    if devices.has_own_dev(plan):
        devices.populate(tree, setup.devices, setup.host_devices)
    # The terminal is one of the container's own devpts, so not before that is mounted; and before the
    # hooks, which may look at /dev.
    slave = _open_terminal(setup, tree) if setup.process.terminal else -1
    _run_setup_hooks(setup, plan)
    rootfs.pivot(tree)
    # Names and parameters by way of the procfs we hold, before /proc/sys becomes read-only.
    _set_names(plan)
    _write_sysctls(setup, tree)
    if _wants_label(setup.process):
        confinement.label_next_program(setup.process, procfs.of_container(tree))
    rootfs.finish(plan, tree)
    os.setsid()
    if slave >= 0:
        console.take_terminal(slave)
    _join_keyring(setup)
    confinement.set_personality(plan.personality)
    _confine_and_execute(setup, start_hooks=plan.hooks.get("startContainer") or [])


def _join_container(setup: Setup) -> None:
    # The cgroup first, by descriptors that are closed next: no moment outside of the limits.
    _join_cgroup(setup)
    _take_descriptors(setup)
    signals.reset_signals()
    # A process of the container could otherwise trace us, or read our memory, from the moment we join.
    process.set_dumpable(False)
    fault_point("exec.joining")
    try:
        namespaces.setns(setup.join_pidfd, setup.join_flags)
    except OSError as error:
        raise StartFailed(f"join namespaces of the container: {reason(error)}") from error
    if setup.join_flags & namespaces.CLONE_NEWUSER:
        _become_root(setup, mapped_by_parent=False)
    os.setsid()
    if setup.process.terminal:
        devpts = console.open_devpts()
        master, slave = console.open_terminal(devpts, setup.process.console_size)
        setup.channel.send(sync.CONSOLE, fd=master)
        os.close(master)
        os.close(devpts)
        console.take_terminal(slave)
    _join_keyring(setup)
    if _wants_label(setup.process):
        confinement.label_next_program(setup.process, procfs.of_joined_container())
    _confine_and_execute(setup, start_hooks=[])


def _confine_and_execute(setup: Setup, *, start_hooks: list[hooks.Hook]) -> None:
    """The last steps, the same for every process: from here on privileges only shrink."""
    who = setup.process
    os.umask(who.umask)
    confinement.set_scheduling(who)
    # Really closed, not only close-on-exec, and before the working directory is entered: it could
    # name one of them, as /proc/self/fd/N (CVE-2024-21626).
    _close_the_rest(setup)
    identity.add_home(who)
    entered = identity.enter_directory(who.cwd)
    if who.no_new_privileges:
        process.set_no_new_privs()
    elif setup.seccomp_program:
        # Without no_new_privs a filter takes CAP_SYS_ADMIN, which is given up next.
        _install_filter(setup)
    if who.rlimits:
        # By the parent, which may have a right to raise them that is nothing in our user namespace; as
        # late as can be, for the steps open descriptors; but while we are still the parent's user.
        setup.channel.send(sync.LIMITS)
        setup.channel.expect(sync.GO)
    # The bounding set needs CAP_SETPCAP, the user needs CAP_SETUID: so before the sets are cut.
    confinement.drop_bounding(who)
    process.set_keep_caps()
    identity.own_stdio(who.uid)
    identity.set_groups_and_user(who, may_set_groups=setup.may_set_groups)
    process.set_keep_caps(False)
    if not entered:
        identity.enter_directory(who.cwd, again=True)
    identity.verify_directory()
    confinement.apply_capabilities(who)
    # Searched as the user, with what is left of the rights; missing programs are reported by create.
    program = find_command(who.args[0], who.environment)
    gate = sync.Gate(setup.channel, setup.gate_fd)
    gate.announce()
    setup.channel = gate.wait()
    if start_hooks:
        hooks.run_hooks("startContainer", start_hooks, _state(setup, "created", os.getpid()))
    if who.no_new_privileges and setup.seccomp_program:
        _install_filter(setup)  # the last thing before execve: few calls are left that it must allow
    execute(program, who.args, who.environment)


def _join_cgroup(setup: Setup) -> None:
    if setup.cgroup is None:  # born in it
        return
    try:
        setup.cgroup.join()
    except OSError as error:
        raise StartFailed(f"join cgroup {setup.cgroup.path}: {reason(error)}") from error


def _take_descriptors(setup: Setup) -> None:
    """Put the standard streams in their places and close all that no later step uses."""
    if setup.stdio is not None and not setup.process.terminal:
        # By way of copies: the streams may be each other's numbers.
        copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in setup.stdio]
        for number, fd in enumerate(copies):
            os.dup2(fd, number)
            os.close(fd)
    keep = [
        setup.channel.fileno(),
        setup.gate_fd,
        setup.skeleton_fd,
        setup.join_pidfd,
        *setup.host_devices.values(),
        *setup.sources.descriptors(),
        *(fd for _, fd in setup.join_fds),
        *range(3, 3 + setup.preserve_fds),
    ]
    first = 3
    for fd in sorted({fd for fd in keep if fd >= 3}):
        if fd > first:
            process.close_range(first, fd - 1)
        first = fd + 1
    process.close_range(first, _HIGHEST_FD)


def _close_the_rest(setup: Setup) -> None:
    """Close all but the standard streams, those to be passed on, the channel and the gate."""
    first = 3 + setup.preserve_fds
    channel = os.dup(setup.channel.fileno()) if setup.channel.fileno() < first else setup.channel.fileno()
    kept = [fd for fd in (channel, setup.gate_fd) if fd >= first]
    setup.channel.renumber(channel)
    for fd in sorted(kept):
        if fd > first:
            process.close_range(first, fd - 1)
        first = fd + 1
    process.close_range(first, _HIGHEST_FD)
    for fd in range(3, 3 + setup.preserve_fds):
        os.set_inheritable(fd, True)


def _become_root(setup: Setup, *, mapped_by_parent: bool) -> None:
    if mapped_by_parent:
        setup.channel.expect(sync.MAPPED)
    try:
        try:
            os.setgroups([])
        except PermissionError:  # denied to the namespace as a whole
            setup.may_set_groups = False
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    except OSError as error:
        raise StartFailed(f"become root in the user namespace: {reason(error)}") from error


def _enter_namespaces(setup: Setup, plan: Plan) -> None:
    for kind, fd in setup.join_fds:
        try:
            namespaces.setns(fd, namespaces.NAMESPACE_FLAGS[kind])
        except OSError as error:
            path = plan.namespaces.join[kind]
            raise StartFailed(f"join {kind} namespace {path}: {reason(error)}") from error
        os.close(fd)
    try:
        if setup.skeleton_fd >= 0:
            # An empty place to begin from: the host's mounts are never even copied.
            namespaces.setns(setup.skeleton_fd, namespaces.CLONE_NEWNS)
            os.close(setup.skeleton_fd)
        late = [flag for kind, flag in _UNSHARED_LATE.items() if kind in plan.namespaces.create]
        namespaces.unshare(sum(late))
        if "network" in plan.namespaces.create:
            namespaces.bring_loopback_up()
    except OSError as error:
        raise StartFailed(f"create namespaces: {error.strerror}") from error
    if plan.time_offsets:
        _enter_time_namespace(plan)


def _enter_time_namespace(plan: Plan) -> None:
    """A time namespace takes its offsets only before the first process is in it."""
    try:
        namespaces.unshare(namespaces.CLONE_NEWTIME)
        with open("/proc/self/timens_offsets", "w", encoding="ascii") as file:
            file.writelines(
                f"{clock} {int(offset.get('secs') or 0)} {int(offset.get('nanosecs') or 0)}\n"
                for clock, offset in plan.time_offsets.items()
            )
        fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
        namespaces.setns(fd, namespaces.CLONE_NEWTIME)
        os.close(fd)
    except OSError as error:
        raise StartFailed(f"time namespace offsets: {reason(error)}") from error


def _open_terminal(setup: Setup, tree: mounts.Tree) -> int:
    master, slave = console.open_terminal(tree.devpts, setup.process.console_size)
    console.bind_console(tree, slave)
    setup.channel.send(sync.CONSOLE, fd=master)
    os.close(master)
    return slave


def _run_setup_hooks(setup: Setup, plan: Plan) -> None:
    if plan.hooks.get("prestart") or plan.hooks.get("createRuntime"):
        setup.channel.send(sync.HOOKS)  # they run in the host's namespaces: the parent's
        setup.channel.expect(sync.GO)
    if create_container := plan.hooks.get("createContainer"):
        hooks.run_hooks("createContainer", create_container, _state(setup, "creating", os.getpid()))


def _set_names(plan: Plan) -> None:
    try:
        if plan.hostname:
            _socket.sethostname(plan.hostname)
        if plan.domainname:
            name = plan.domainname.encode()
            syscall("setdomainname", _SETDOMAINNAME[os.uname().machine], name, len(name))
    except OSError as error:
        raise StartFailed(f"set hostname: {reason(error)}") from error


def _write_sysctls(setup: Setup, tree: mounts.Tree) -> None:
    if setup.sysctls:
        sysctl.write_sysctls(procfs.of_container(tree), setup.sysctls)


def _wants_label(who: Process) -> bool:
    return bool(who.apparmor_profile or who.selinux_label)


def _join_keyring(setup: Setup) -> None:
    """A session keyring of its own: keys are not namespaced, and the caller's are not the container's."""
    if not setup.keyring:
        return
    try:
        keyring.join_session_keyring(f"_ses.{setup.container_id}")
    except OSError as error:
        if error.errno != 38:  # ENOSYS: a kernel without keys has none to protect
            raise StartFailed(f"create session keyring: {reason(error)}") from error


def _install_filter(setup: Setup) -> None:
    assert setup.seccomp_program is not None
    try:
        listener = seccomp.install(setup.seccomp_program, flags=setup.seccomp_flags)
    except OSError as error:
        raise StartFailed(f"unable to init seccomp: {reason(error)}") from error
    if setup.seccomp_notify:
        setup.channel.send(sync.NOTIFY, fd=listener)
        os.close(listener)
        setup.channel.expect(sync.GO)


def _state(setup: Setup, status: str, pid: int) -> dict[str, object]:
    annotations = setup.plan.annotations if setup.plan else {}
    return hooks.state_document(
        setup.container_id, status=status, pid=pid, bundle=setup.bundle, annotations=annotations
    )
