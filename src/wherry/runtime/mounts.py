"""The mounts of a container, in two halves.

The parent, in the host's namespaces, opens what comes from the host: bind mounts and filesystems on
devices become detached mounts, whose descriptors the child inherits.  The child, in the container's
namespaces, makes what belongs to them (procfs shows the pid namespace of its maker, sysfs the network
namespace), and attaches all in the order of the configuration: a later mount lies on an earlier one.
"""

from __future__ import annotations

import os
import posixpath

from wherry.linux import mount as m
from wherry.runtime import cgroup_mounts, inside
from wherry.runtime.failures import StartFailed, explain, reason
from wherry.runtime.filesystem import (
    attach,
    change_mount,
    clone_tree,
    fits_fsconfig,
    make_filesystem,
    mount_failed,
)
from wherry.runtime.plan import Mount, Plan
from wherry.runtime.sync import close_quietly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.runtime.cgroups import Cgroup

# Filesystems whose content or owner depends on the namespaces of who makes them.
_NAMESPACED = frozenset(("proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"))
# What may be mounted over within /proc: files that lxcfs and the like stand in for.
_OVER_PROC = frozenset(
    (
        "/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/net/dev",
        "/proc/slabinfo", "/proc/stat", "/proc/swaps", "/proc/sys/crypto/fips_enabled",
        "/proc/sys/kernel/ns_last_pid", "/proc/uptime",
    )
)  # fmt: skip
_PROPAGATION = {
    "private": m.MS_PRIVATE,
    "slave": m.MS_SLAVE,
    "shared": m.MS_SHARED,
    "unbindable": m.MS_UNBINDABLE,
}
_DIRECTORY = os.O_PATH | os.O_DIRECTORY


def root_propagation(plan: Plan) -> tuple[int, bool]:
    """The propagation of the root and of every mount that names none: by default the host's mounts
    come in and nothing goes out.
    """
    word = plan.root_propagation or "rslave"
    recursive = word not in _PROPAGATION
    return _PROPAGATION[word.removeprefix("r") if recursive else word], recursive


class Sources:
    """The detached mounts that the parent has opened; closed by the parent after the fork."""

    __slots__ = ("cgroups", "made", "root", "trees")

    def __init__(self) -> None:
        self.root = -1
        self.trees: dict[int, int] = {}  # by index in plan.mounts
        self.cgroups: list[tuple[str, int]] = []
        self.made: dict[int, int] = {}  # by a child that had time for it: `make_ahead`

    def descriptors(self) -> list[int]:
        """All that the child needs."""
        fds = [self.root, *self.trees.values(), *self.made.values(), *(fd for _, fd in self.cgroups)]
        return [fd for fd in fds if fd >= 0]

    def close(self) -> None:
        close_quietly(*self.descriptors())


def open_sources(plan: Plan, sources: Sources, *, bundle: str, rootfs_fd: int, cgroup: Cgroup) -> None:
    """Open in `sources`, in the host's mount namespace, everything that comes from there.

    Raises:
        StartFailed: a source that does not exist or cannot be mounted.
    """
    default = root_propagation(plan)
    sources.root = _open_root(plan, bundle, rootfs_fd, default)
    for index, mount in enumerate(plan.mounts):
        if not made_by_child(mount):
            sources.trees[index] = _open_tree(mount, bundle, default)
        elif mount.type == "cgroup" and cgroup.version == 1 and not plan.namespaces.has("cgroup"):
            # Without a cgroup namespace only the container's own part of each hierarchy is shown.
            sources.cgroups = cgroup_mounts.open_own_groups(cgroup, mount)


def made_by_child(mount: Mount) -> bool:
    """Whether the child makes this mount itself."""
    return not mount.options.bind and (mount.type in _NAMESPACED or not fits_fsconfig(mount.options.data))


def needs_host_paths(plan: Plan) -> bool:
    """Whether the child must be able to look up paths of the host: mount(2) takes no descriptors."""
    return any(
        not mount.options.bind and mount.type not in _NAMESPACED and made_by_child(mount)
        for mount in plan.mounts
    )


def _open_root(plan: Plan, bundle: str, rootfs_fd: int, default: tuple[int, bool]) -> int:
    flag, recursive = default
    try:
        if rootfs_fd >= 0:
            root = os.dup(rootfs_fd)  # ours to close; os.dup sets close-on-exec
        else:
            path = posixpath.join(bundle, plan.root_path)
            root = m.open_tree(path, m.OPEN_TREE_CLONE | m.AT_RECURSIVE)
        try:
            m.mount_setattr(root, "", m.AT_RECURSIVE if recursive else 0, propagation=flag)
        except BaseException:
            os.close(root)
            raise
    except OSError as error:
        raise StartFailed(f"open rootfs {plan.root_path}: {reason(error)}") from error
    return root


def _open_tree(mount: Mount, bundle: str, default: tuple[int, bool]) -> int:
    source = mount.source
    try:
        if mount.options.bind:
            source = posixpath.join(bundle, source)  # a relative source begins at the bundle
            return clone_tree(source, mount.options, default)
        fd = make_filesystem(mount.type, source, mount.options.data, mount.options.attr_set)
        try:
            change_mount(fd, mount.options, default)
        except BaseException:
            os.close(fd)
            raise
        return fd
    except OSError as error:
        code = 127 if isinstance(error, FileNotFoundError) else 128
        raise mount_failed(source, mount.destination, explain(error), exit_code=code) from error


class Tree:
    """The container's root and the mounts of it that later steps use; lives in the child."""

    __slots__ = ("dev", "devpts", "late_read_only", "proc", "proc_device", "root")

    def __init__(self, root: int) -> None:
        self.root = root
        self.dev = -1  # directory /dev
        self.devpts = -1  # the mount made for /dev/pts
        self.proc = -1  # the mount made for /proc: trusted, whatever lies at that path
        self.proc_device = -1
        self.late_read_only: list[int] = []


def mount_all(plan: Plan, sources: Sources, tree: Tree) -> None:
    """Make every mount of the configuration, in the child.

    Raises:
        StartFailed: naming source and destination.
    """
    for index, mount in enumerate(plan.mounts):
        fd = sources.trees.get(index, -1)
        _refuse_inside_proc(mount)
        try:
            if mount.type in ("cgroup", "cgroup2") and not mount.options.bind:
                cgroup_mounts.mount_cgroups(plan, mount, sources, tree)
            elif fd >= 0:
                _attach_tree(mount, fd, tree)
            elif mount.type in _NAMESPACED:
                _mount_namespaced(plan, mount, tree, sources.made.get(index, -1))
            else:
                _mount_by_path(mount, tree)
        except OSError as error:
            raise mount_failed(mount.source, mount.destination, explain(error)) from error


def make_ahead(plan: Plan) -> dict[int, int]:
    """Make, attached nowhere yet, the filesystems of the child's own namespaces: by index in plan.mounts.

    For a child that waits in them for the rest of its orders.  What cannot be made is left to `mount_all`,
    and so is everything of control groups, to which the child does not belong yet.
    """
    made: dict[int, int] = {}
    for index, mount in enumerate(plan.mounts):
        if mount.type in _NAMESPACED and mount.type not in ("cgroup", "cgroup2") and not mount.options.bind:
            try:
                made[index] = _make_namespaced(mount)
            except OSError:
                continue
    return made


def _make_namespaced(mount: Mount) -> int:
    options = mount.options
    data = list(options.data)
    late = _is_read_only_late(mount)
    if options.read_only and not late:
        data.append("ro")
    attributes = options.attr_set & ~(m.MOUNT_ATTR_RDONLY if late else 0)
    return make_filesystem(mount.type, mount.source or mount.type, data, attributes)


def _is_read_only_late(mount: Mount) -> bool:
    """Whether later steps still write to it."""
    return mount.options.read_only and mount.type == "tmpfs"


def _mount_namespaced(plan: Plan, mount: Mount, tree: Tree, fd: int) -> None:
    """Attach `fd`, or what is made now when that is -1."""
    # procfs and sysfs through no link at all: they are what later steps and the kernel's own
    # protections rely on.
    kernel = mount.type in ("proc", "sysfs")
    target = _target_directory(mount, tree, follow=not kernel)
    try:
        if not kernel:
            _refuse_over_proc(mount, -1, target, tree)
        options = mount.options
        if fd < 0:
            fd = _make_namespaced(mount)
        if options.propagation or options.recursive_attr_set or root_propagation(plan)[0] == m.MS_SHARED:
            # A new filesystem is private; anything else is asked for.
            options.attr_set = options.attr_clr = 0
            change_mount(fd, options, root_propagation(plan) if not options.propagation else None)
        attach(fd, target, source=mount.source, destination=mount.destination)
    finally:
        os.close(target)
    _remember(mount, fd, tree, late=_is_read_only_late(mount))


def _remember(mount: Mount, fd: int, tree: Tree, *, late: bool) -> None:
    """Keep the descriptor of a mount that later steps work on, close any other."""
    path = posixpath.normpath(mount.destination)
    if late:
        tree.late_read_only.append(os.dup(fd))
    if mount.type == "proc" and path == "/proc":
        tree.proc, tree.proc_device = fd, os.fstat(fd).st_dev
    elif mount.type == "devpts" and path == "/dev/pts":
        tree.devpts = fd
    else:
        os.close(fd)


def _attach_tree(mount: Mount, fd: int, tree: Tree) -> None:
    if os.fstat(fd).st_mode & 0o170000 == 0o040000:
        target = _target_directory(mount, tree)
    else:
        target = inside.file_inside(tree.root, mount.destination)
    try:
        _refuse_over_proc(mount, fd, target, tree)
        attach(fd, target, source=mount.source, destination=mount.destination)
    finally:
        os.close(target)
    os.close(fd)


def _mount_by_path(mount: Mount, tree: Tree) -> None:
    """mount(2), for options that do not fit the newer calls; at `.`, so no path is looked up twice."""
    target = _target_directory(mount, tree)
    _refuse_over_proc(mount, -1, target, tree)
    os.fchdir(target)
    os.close(target)
    m.mount(mount.source, ".", mount.type, 0, ",".join(mount.options.data))
    fd = inside.open_inside(tree.root, mount.destination, _DIRECTORY)
    try:
        change_mount(fd, mount.options, (m.MS_PRIVATE, False))
    finally:
        os.close(fd)
        os.chdir("/")


def _target_directory(mount: Mount, tree: Tree, *, follow: bool = True) -> int:
    try:
        target = inside.directory_inside(tree.root, mount.destination, follow=follow)
    except OSError as error:
        if follow or error.errno not in (20, 40):  # ENOTDIR, ELOOP
            raise
        text = f'filesystem "{mount.type}" must be mounted on ordinary directory'
        raise mount_failed(mount.source, mount.destination, text) from error
    return target


def _refuse_inside_proc(mount: Mount) -> None:
    """Refuse to hide parts of procfs: what reads them would believe the image (CVE-2019-19921)."""
    path = posixpath.normpath(mount.destination)
    if path.startswith("/proc/") and path not in _OVER_PROC:
        raise _inside_proc(mount)


def _refuse_over_proc(mount: Mount, source_fd: int, target_fd: int, tree: Tree) -> None:
    """The same for where the destination really leads, whatever links are in it."""
    path = posixpath.normpath(mount.destination)
    if path == "/proc":
        if source_fd < 0 or os.fstat(source_fd).st_dev not in _procfs_devices(tree):
            text = f'"{mount.destination}" cannot be mounted because it is not of type proc'
            raise mount_failed(mount.source, mount.destination, text)
    elif path not in _OVER_PROC and os.fstat(target_fd).st_dev == tree.proc_device:
        raise _inside_proc(mount)


def _inside_proc(mount: Mount) -> StartFailed:
    text = f'"{mount.destination}" cannot be mounted because it is inside /proc'
    return mount_failed(mount.source, mount.destination, text)


def _procfs_devices(tree: Tree) -> tuple[int, ...]:
    """The devices of the procfs instances that may be bound over /proc: ours and the host's."""
    try:
        return tree.proc_device, os.stat("/proc").st_dev
    except OSError:
        return (tree.proc_device,)
