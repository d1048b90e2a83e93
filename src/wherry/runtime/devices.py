"""/dev of a container: device nodes and the links every program expects.

Nodes are made in the directory that is open, under names without a slash where the default ones are
concerned, so no link of the image takes part.  In a user namespace mknod is refused; there the host's node
is bound, by a descriptor that the parent has opened.

Spec: runtime-spec, config-linux.md, Devices and Default Devices.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from wherry.linux import mount as m
from wherry.runtime import inside
from wherry.runtime.failures import InvalidSpec, StartFailed, reason
from wherry.runtime.filesystem import attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.runtime.mounts import Tree
    from wherry.runtime.plan import Plan

_CHARACTER, _BLOCK = stat.S_IFCHR, stat.S_IFBLK
_TYPES = {"c": _CHARACTER, "u": _CHARACTER, "b": _BLOCK, "p": stat.S_IFIFO}
_DEFAULT_NODES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
)
NULL_DEVICE = os.makedev(1, 3)


class Device:
    """A node to make."""

    __slots__ = ("device", "gid", "mode", "path", "uid")

    def __init__(self, path: str, mode: int, device: int, uid: int = 0, gid: int = 0) -> None:
        self.path = path
        self.mode = mode
        self.device = device
        self.uid = uid
        self.gid = gid


def planned_devices(plan: Plan) -> list[Device]:
    """The nodes of a container: those asked for, and the default ones they do not replace.

    Raises:
        InvalidSpec: for a device that is none.
    """
    asked = [_parse(entry) for entry in plan.devices]
    paths = {posixpath.normpath(each.path) for each in asked}
    default = [
        Device(f"/dev/{name}", _CHARACTER | 0o666, os.makedev(major, minor))
        for name, major, minor in _DEFAULT_NODES
        if f"/dev/{name}" not in paths
    ]
    return default + asked


def has_own_dev(plan: Plan) -> bool:
    """Whether /dev is the container's own, to be filled: not so where a directory is bound there."""
    return not any(
        mount.options.bind and posixpath.normpath(mount.destination) == "/dev" for mount in plan.mounts
    )


def open_host_devices(devices: list[Device]) -> dict[str, int]:
    """Detached mounts of the host's nodes, for a container that may not make its own; in the parent.

    Raises:
        StartFailed: the host does not have the device.
    """
    opened: dict[str, int] = {}
    for each in devices:
        try:
            opened[each.path] = m.open_tree(each.path, m.OPEN_TREE_CLONE)
        except OSError as error:
            raise StartFailed(f"bind device {each.path}: {reason(error)}") from error
    return opened


def populate(tree: Tree, devices: list[Device], host_devices: dict[str, int]) -> None:
    """Make all nodes and links in /dev, in the child.

    Raises:
        StartFailed: naming the device.
    """
    tree.dev = inside.directory_inside(tree.root, "/dev")
    for each in devices:
        try:
            if each.path in host_devices:
                _bind(tree, each, host_devices[each.path])
            else:
                _make(tree, each)
        except OSError as error:
            raise StartFailed(f"error creating device {each.path}: {reason(error)}") from error
    for name, target in _LINKS:
        _link(tree.dev, name, target)
    if tree.proc >= 0:
        try:
            os.stat("kcore", dir_fd=tree.proc)
            _link(tree.dev, "core", "/proc/kcore")
        except FileNotFoundError:
            pass
    _link_ptmx(tree.dev)


def open_null(tree: Tree) -> int:
    """The container's null device (O_PATH), proved to be it: it covers what must not be read.

    Raises:
        StartFailed: /dev/null is something else (CVE-2025-31133).
    """
    fd = -1
    try:
        fd = inside.open_inside(tree.root, "/dev/null", os.O_PATH | os.O_NOFOLLOW, follow=False)
        status = os.fstat(fd)
    except OSError as error:
        raise StartFailed(f"can't mask paths: /dev/null: {reason(error)}") from error
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != NULL_DEVICE:
        os.close(fd)
        raise StartFailed("can't mask paths: /dev/null of the container is not the null device")
    return fd


def _make(tree: Tree, device: Device) -> None:
    name, directory = device.path.removeprefix("/dev/"), tree.dev
    plain = "/" not in name and name not in ("", ".", "..")
    if not plain:
        directory, name = inside.parent_inside(tree.root, device.path)
    try:
        os.mknod(name, device.mode, device.device, dir_fd=directory)  # umask is 0: the mode is exact
        if device.uid or device.gid:
            os.chown(name, device.uid, device.gid, dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        _accept_existing(directory, name, device)
    finally:
        if not plain:
            os.close(directory)


def _accept_existing(directory: int, name: str, device: Device) -> None:
    """An image or a volume may bring the very same node; anything else in its place is refused."""
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if stat.S_IFMT(found.st_mode) != stat.S_IFMT(device.mode) or found.st_rdev != device.device:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), device.path)


def _bind(tree: Tree, device: Device, host_fd: int) -> None:
    target = inside.file_inside(tree.root, device.path, mode=0o666)
    try:
        attach(host_fd, target, source=device.path, destination=device.path)
    finally:
        os.close(target)


def _link(directory: int, name: str, target: str) -> None:
    try:
        os.symlink(target, name, dir_fd=directory)
    except FileExistsError:
        pass


def _link_ptmx(directory: int) -> None:
    """/dev/ptmx must be that of the container's own devpts, never a node of the image."""
    try:
        os.symlink("pts/ptmx", "ptmx", dir_fd=directory)
    except FileExistsError:
        os.unlink("ptmx", dir_fd=directory)
        os.symlink("pts/ptmx", "ptmx", dir_fd=directory)


def _parse(entry: dict[str, object]) -> Device:
    path, kind = str(entry.get("path") or ""), str(entry.get("type") or "")
    if kind not in _TYPES or not path.startswith("/") or "\0" in path:
        raise InvalidSpec(f"device {path!r} of type {kind!r} is not a device")
    mode = entry.get("fileMode")
    permissions = 0o666 if mode is None else _number(mode) & 0o7777
    number = 0
    if kind != "p":
        number = os.makedev(_number(entry.get("major") or 0), _number(entry.get("minor") or 0))
    return Device(
        path,
        _TYPES[kind] | permissions,
        number,
        _number(entry.get("uid") or 0),
        _number(entry.get("gid") or 0),
    )


def _number(value: object) -> int:
    if not isinstance(value, int) or value < 0 or value > 0xFFFFFFFF:
        raise InvalidSpec(f"device number {value!r} is out of range")
    return value
