"""A first process made ahead, for a container that is still to come.

Making a process in new namespaces, and giving it its own copy of the memory it will write to, is a good part
of a start, and can be done before the request is there.  The spare is a plain copy of its parent that waits
for its `Setup`; from there on it goes the way of every first process, step by step (`init`).

    make_spare ── clone3 ──┬─ parent:  announce ──▶  root, cgroup, sources  ── take, with descriptors ──▶
                           └─ child:   waits ▶ plans, makes detached filesystems ▶ waits ▶ run_init

It is made in new namespaces of the kinds that its maker expects, and serves only a container that asks for
exactly these.  On cgroup v2 a process is born in its cgroup, which is not known here, so there is none there.
A spare whose parent is gone ends.
"""

from __future__ import annotations

import gc
import marshal
import os

from wherry.linux import cgroupfs, namespaces
from wherry.linux.process import SIGCHLD, clone3, pidfd_send_signal, wait_pidfd
from wherry.runtime import devices, init, mounts, rlimits, sync
from wherry.runtime.cgroups import Cgroup
from wherry.runtime.plan import Plan
from wherry.runtime.started import Started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Spec = dict[str, Any]

# What containers usually get: a time namespace, too, where the kernel has them.
USUAL_FLAGS = sum(
    flag
    for kind, flag in namespaces.NAMESPACE_FLAGS.items()
    if kind in ("network", "ipc", "uts", "pid") or (kind == "time" and os.path.exists("/proc/self/ns/time"))
)
_SERVED = USUAL_FLAGS | namespaces.NAMESPACE_FLAGS["time"]
_SIGKILL = 9
_PARENTS = frozenset(("seccomp", "resources"))  # what only the parent needs of `linux`
# What travels of a Setup as it is.
_VALUES = (
    "bundle", "container_id", "keyring", "listener_metadata", "listener_path", "root_at", "seccomp_flags",
    "seccomp_notify", "seccomp_program", "sysctls",
)  # fmt: skip


class Spare:
    """A process that waits to be the first of some container."""

    __slots__ = ("_announced", "_channel", "_flags", "_pid", "_pidfd")

    def __init__(self, flags: int, pid: int, pidfd: int, channel: sync.Channel) -> None:
        self._announced = False
        self._flags = flags
        self._pid = pid
        self._pidfd = pidfd
        self._channel = channel

    def announce(self, spec: Spec) -> None:
        """Tell it the configuration that `take` will be about, so that it can begin to prepare."""
        linux = {key: value for key, value in (spec.get("linux") or {}).items() if key not in _PARENTS}
        payload = marshal.dumps({**spec, "linux": linux})
        self._announced = len(payload) < sync.LARGEST_SETUP and self._send(payload, [])

    def take(self, setup: init.Setup) -> Started | None:
        """Make it the first process of the container of `setup`, whose descriptors stay the caller's.

        None when it does not have what that container asks for, or is not there any more.
        """
        if self._pidfd < 0 or not self._announced or not _serves(self._flags, setup):
            return None
        payload, fds = _packed(setup)
        too_much = len(payload) >= sync.LARGEST_SETUP or len(fds) > sync.MOST_DESCRIPTORS
        if too_much or not self._send(payload, fds):
            return None
        started = Started(self._pid, self._pidfd, self._channel)
        self._pidfd = -1
        return started

    def _send(self, payload: bytes, fds: list[int]) -> bool:
        try:
            self._channel.send_setup(payload, fds)
        except OSError:
            return False
        return True

    def end(self) -> None:
        """End it, unless it has been taken."""
        if self._pidfd < 0:
            return
        self._channel.close()
        try:
            pidfd_send_signal(self._pidfd, _SIGKILL)
            wait_pidfd(self._pidfd)
        except (ProcessLookupError, ChildProcessError):
            pass  # reaped already
        os.close(self._pidfd)
        self._pidfd = -1


def make_spare(flags: int, skeleton_fd: int, prepare: Callable[[], None]) -> Spare | None:
    """A spare in new namespaces of `flags`, or None where containers cannot begin with one.

    It calls `prepare` before it waits.

    Raises:
        OSError: the process cannot be made.
    """
    if skeleton_fd < 0 or flags & ~_SERVED or cgroupfs.layout().version != 1:
        return None
    ours, theirs = sync.pair()
    pid, pidfd = clone3(flags, exit_signal=SIGCHLD)
    if pid == 0:
        gc.disable()  # a collection would touch every page that holds an object
        ours.close()
        prepare()
        _wait(theirs, skeleton_fd)
    theirs.close()
    return Spare(flags, pid, pidfd, ours)


def _serves(flags: int, setup: init.Setup) -> bool:
    plan = setup.plan
    assert plan is not None
    return (
        plan.clone_flags == flags
        and not plan.namespaces.join
        and (bool(plan.hostname) or "uts" not in plan.namespaces.create)  # else the host's name of now
        and setup.skeleton_fd >= 0
        and setup.gate_fd < 0
        and not setup.preserve_fds
        and not setup.host_devices
        and setup.cgroup is not None
        and setup.cgroup.version == 1
    )


def _packed(setup: init.Setup) -> tuple[bytes, list[int]]:
    """What is in `setup` besides the configuration, as bytes and descriptors."""
    assert setup.cgroup is not None
    sources, joining = setup.sources, setup.cgroup.joining_fds()
    stdio = setup.stdio or ()
    message = (
        [getattr(setup, name) for name in _VALUES],
        setup.process.console_size,
        setup.cgroup.path,
        list(sources.trees),
        [name for name, _ in sources.cgroups],
        (len(joining), len(stdio)),
    )
    fds = [sources.root, *sources.trees.values(), *(fd for _, fd in sources.cgroups), *joining, *stdio]
    return marshal.dumps(message), fds


def _prepared(spec: Spec) -> init.Setup:
    """A setup with what follows from the configuration alone, whose plan is made anew on this side."""
    plan = Plan(spec)
    setup = init.Setup(plan.process, "")
    setup.plan = plan
    setup.limits = rlimits.parse_rlimits(plan.process.rlimits)
    if devices.has_own_dev(plan):
        setup.devices = devices.planned_devices(plan)
    setup.sources.made = mounts.make_ahead(plan)
    return setup


def _fill(setup: init.Setup, message: tuple[Any, ...], fds: list[int]) -> None:
    values, setup.process.console_size, cgroup_path, trees, cgroups, (joining, streams) = message
    for name, value in zip(_VALUES, values, strict=True):
        setattr(setup, name, value)
    rest = iter(fds)
    setup.sources.root = next(rest)
    setup.sources.trees = {index: next(rest) for index in trees}
    setup.sources.cgroups = [(name, next(rest)) for name in cgroups]
    setup.cgroup = Cgroup.to_join(cgroup_path, [next(rest) for _ in range(joining)])
    stdio = [next(rest) for _ in range(streams)]
    setup.stdio = (stdio[0], stdio[1], stdio[2]) if stdio else None


def _wait(channel: sync.Channel, skeleton_fd: int) -> NoReturn:
    """In the child: wait for the setup and go its way."""
    try:
        setup = _prepared(_receive(channel)[0])
        _fill(setup, *_receive(channel))
        setup.channel, setup.skeleton_fd = channel, skeleton_fd
    except BaseException as error:
        channel.report(error)
        os._exit(1)
    init.run_init(setup)


def _receive(channel: sync.Channel) -> tuple[Any, list[int]]:
    received = channel.receive_setup()
    if received is None:
        os._exit(0)  # nobody needs it
    payload, fds = received
    return marshal.loads(payload), fds  # noqa: S302  from our own parent
