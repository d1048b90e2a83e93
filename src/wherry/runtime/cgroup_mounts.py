"""The mounts of type cgroup: what a container sees of its control groups.

v1: a tmpfs with a directory for each hierarchy.  In a cgroup namespace each is a new mount, whose root
the namespace makes the container's own group; without one it is a copy of that group's directory, so the
groups of others are not there to be seen.  v2: one mount at the destination.
"""

from __future__ import annotations

import errno
import os
import posixpath

from wherry.linux import cgroupfs
from wherry.linux import mount as m
from wherry.runtime import inside
from wherry.runtime.filesystem import attach, clone_tree, make_filesystem
from wherry.runtime.options import MountOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.runtime.cgroups import Cgroup
    from wherry.runtime.mounts import Sources, Tree
    from wherry.runtime.plan import Mount, Plan

_PRIVATE = (m.MS_PRIVATE, False)


def open_own_groups(cgroup: Cgroup, mount: Mount) -> list[tuple[str, int]]:
    """Detached copies of the container's directory in each v1 hierarchy: (name, descriptor)."""
    found: list[tuple[str, int]] = []
    options = _attributes_of(mount)
    directories = cgroup.directories()
    for name, controllers in _hierarchies():
        directory = next((directories[each] for each in controllers if each in directories), None)
        if directory is not None:
            found.append((name, clone_tree(directory, options, _PRIVATE)))
    return found


def mount_cgroups(plan: Plan, mount: Mount, sources: Sources, tree: Tree) -> None:
    """Make a mount of type cgroup, in the child, after it has entered its cgroup namespace."""
    target = inside.directory_inside(tree.root, mount.destination)
    try:
        if mount.type == "cgroup2" or cgroupfs.layout().version == 2:
            _mount_v2(mount, target)
        else:
            _mount_v1(plan, mount, sources, target)
    finally:
        os.close(target)


def _mount_v2(mount: Mount, target: int) -> None:
    attributes = mount.options.attr_set
    fd = make_filesystem("cgroup2", "cgroup", mount.options.data, attributes)
    try:
        attach(fd, target, source=mount.source, destination=mount.destination)
    finally:
        os.close(fd)


def _mount_v1(plan: Plan, mount: Mount, sources: Sources, target: int) -> None:
    attributes = mount.options.attr_set & ~m.MOUNT_ATTR_RDONLY
    top = make_filesystem("tmpfs", "cgroup", ["mode=755"], attributes)
    try:
        attach(top, target, source=mount.source, destination=mount.destination)
        if plan.namespaces.has("cgroup"):
            for name, controllers in _hierarchies():
                _attach_hierarchy(top, name, _new_hierarchy_mount(mount, controllers))
        else:
            for name, fd in sources.cgroups:
                _attach_hierarchy(top, name, fd)
        _link_merged(top)
        if mount.options.read_only:
            m.mount_setattr(top, "", 0, attr_set=m.MOUNT_ATTR_RDONLY)
    finally:
        os.close(top)


def _new_hierarchy_mount(mount: Mount, controllers: list[str]) -> int:
    """A mount of an existing hierarchy, or -1 for one that this user namespace may not mount."""
    data = list(controllers)
    if data[0].startswith("name="):
        data.append("none")
    try:
        return make_filesystem("cgroup", "cgroup", data, mount.options.attr_set)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EBUSY):
            return -1
        raise


def _attach_hierarchy(top: int, name: str, fd: int) -> None:
    if fd < 0:
        return
    try:
        os.mkdir(name, 0o755, dir_fd=top)
        m.move_mount(fd, "", top, name, m.MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(fd)


def _hierarchies() -> list[tuple[str, list[str]]]:
    """The v1 hierarchies of the host: (name of the directory, controllers)."""
    by_mount: dict[str, list[str]] = {}
    for controller, mountpoint in cgroupfs.layout().mounts.items():
        by_mount.setdefault(mountpoint, []).append(controller)
    return [(posixpath.basename(place), controllers) for place, controllers in by_mount.items()]


def _link_merged(top: int) -> None:
    """Names such as `cpu` for a hierarchy that is mounted at `cpu,cpuacct`."""
    for name, controllers in _hierarchies():
        if "," in name:
            for controller in controllers:
                try:
                    os.symlink(name, controller, dir_fd=top)
                except FileExistsError:
                    pass


def _attributes_of(mount: Mount) -> MountOptions:
    options = MountOptions()
    options.attr_set, options.attr_clr = mount.options.attr_set, mount.options.attr_clr
    return options
