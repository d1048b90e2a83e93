"""Mounts: mount(2), and the descriptors of the newer mount calls.

A mount made by `fsmount` or `open_tree(OPEN_TREE_CLONE)` hangs on its descriptor and is nowhere in the
tree until `move_mount` attaches it; with its last descriptor it is gone.
"""

from __future__ import annotations

import errno
import os
import struct

from wherry.linux.libc import AT_EMPTY_PATH, AT_FDCWD, NR, path_bytes, syscall

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_SYNCHRONOUS = 0x10
MS_REMOUNT = 0x20
MS_MANDLOCK = 0x40
MS_DIRSYNC = 0x80
MS_NOSYMFOLLOW = 0x100
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_SILENT = 0x8000
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

MNT_FORCE = 0x1
MNT_DETACH = 0x2
MNT_EXPIRE = 0x4
UMOUNT_NOFOLLOW = 0x8

OPEN_TREE_CLONE = 0x1
AT_RECURSIVE = 0x8000

MOVE_MOUNT_F_SYMLINKS = 0x1
MOVE_MOUNT_F_AUTOMOUNTS = 0x2
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_SYMLINKS = 0x10
MOVE_MOUNT_T_AUTOMOUNTS = 0x20
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOVE_MOUNT_BENEATH = 0x200

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_ATIME = 0x70  # the mask of the three that follow: clear it to set one of them
MOUNT_ATTR_RELATIME = 0x0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 0x1
_SET_FLAG, _SET_STRING, _SET_FD, _CREATE = 0, 1, 5, 6
_PAGE = 4096


def mount(source: str, target: str, fstype: str, flags: int = 0, data: str = "") -> None:
    """Mount `source` at `target`.

    Raises:
        OSError: with `target` as its filename; EINVAL when `data` does not fit a page, where the
            kernel would silently drop the rest.

    Spec: mount(2).
    """
    options = path_bytes(data)
    if len(options) >= _PAGE:
        raise OSError(errno.EINVAL, f"mount: {len(options)} bytes of options exceed a page", target)
    words = path_bytes(source), path_bytes(target), path_bytes(fstype), flags, options or None
    syscall("mount", NR["mount"], *words, path=target)


def umount(target: str, flags: int = 0) -> None:
    """Unmount what is on top at `target`.

    Raises:
        OSError: EBUSY while in use, EINVAL when nothing is mounted there.

    Spec: umount2(2).
    """
    syscall("umount2", NR["umount2"], path_bytes(target), flags, path=target)


def open_tree(path: str, flags: int = 0, *, dir_fd: int = AT_FDCWD) -> int:
    """Open the mount that holds `path`; with OPEN_TREE_CLONE, a detached copy.

    The caller owns the returned descriptor, which is close-on-exec.  A detached
    copy vanishes with its last descriptor unless `move_mount` attaches it first.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN, ENOENT, ENOSYS before Linux 5.2.

    Spec: open_tree(2).
    """
    words = dir_fd, path_bytes(path), flags | os.O_CLOEXEC
    return syscall("open_tree", NR["open_tree"], *words, path=path)


def move_mount(from_fd: int, from_path: str, to_fd: int, to_path: str, flags: int) -> None:
    """Attach the mount at `from_path` of `from_fd` to `to_path` of `to_fd`.

    An empty path with MOVE_MOUNT_F_EMPTY_PATH or MOVE_MOUNT_T_EMPTY_PATH means the descriptor itself.

    Raises:
        OSError: EINVAL for a target that is not a mount of this namespace, ENOTDIR for a directory
            on a file.

    Spec: move_mount(2).
    """
    words = from_fd, path_bytes(from_path), to_fd, path_bytes(to_path), flags
    syscall("move_mount", NR["move_mount"], *words, path=to_path or from_path)


def fsopen(fstype: str) -> int:
    """Begin a new filesystem of type `fstype`: a descriptor to configure, the caller's.

    Raises:
        OSError: ENODEV for a type the kernel does not have, EPERM.

    Spec: fsopen(2).
    """
    return syscall("fsopen", NR["fsopen"], path_bytes(fstype), _FSOPEN_CLOEXEC, path=fstype)


def fsconfig_set_flag(fd: int, key: str) -> None:
    """Set an option that has no value.

    Raises:
        OSError: EINVAL; `fs_messages` may say why.
    """
    syscall("fsconfig", NR["fsconfig"], fd, _SET_FLAG, path_bytes(key), None, 0, path=key)


def fsconfig_set_string(fd: int, key: str, value: str) -> None:
    """Set `key` to a string of at most 255 bytes.

    Raises:
        OSError: EINVAL, also for a longer value; `fs_messages` may say why.
    """
    words = fd, _SET_STRING, path_bytes(key), path_bytes(value), 0
    syscall("fsconfig", NR["fsconfig"], *words, path=key)


def fsconfig_set_fd(fd: int, key: str, value_fd: int) -> None:
    """Set `key` to what `value_fd` has open.

    Raises:
        OSError: EINVAL, also where the filesystem takes no descriptor for this key.
    """
    syscall("fsconfig", NR["fsconfig"], fd, _SET_FD, path_bytes(key), None, value_fd, path=key)


def fsconfig_create(fd: int) -> None:
    """Make the filesystem as configured.

    Raises:
        OSError: what the filesystem says; `fs_messages` may say more.
    """
    syscall("fsconfig", NR["fsconfig"], fd, _CREATE, None, None, 0)


def fsmount(fd: int, attr_flags: int = 0) -> int:
    """A detached mount of the filesystem made in `fd`: a descriptor, the caller's.

    Raises:
        OSError: EPERM, EBUSY before `fsconfig_create`.

    Spec: fsmount(2).
    """
    return syscall("fsmount", NR["fsmount"], fd, _FSMOUNT_CLOEXEC, attr_flags)


def fs_messages(fd: int) -> list[str]:
    """What the kernel logged for the filesystem context `fd`, oldest first; reading takes it away.

    Each begins with `e `, `w ` or `i ` for error, warning or information.
    """
    messages = []
    while True:
        try:
            messages.append(os.read(fd, _PAGE).decode("utf-8", "replace").rstrip("\n"))
        except OSError:  # ENODATA: no more
            return messages


def mount_setattr(
    dir_fd: int,
    path: str,
    flags: int,
    *,
    attr_set: int = 0,
    attr_clr: int = 0,
    propagation: int = 0,
    userns_fd: int = -1,
) -> None:
    """Change the attributes of a mount; with AT_RECURSIVE in `flags`, of all beneath, or of none.

    Raises:
        OSError: EINVAL, EPERM for an attribute locked by an outer user namespace, ENOSYS before 5.12.

    Spec: mount_setattr(2).
    """
    if not path:
        flags |= AT_EMPTY_PATH
    attr = struct.pack("QQQQ", attr_set, attr_clr, propagation, max(userns_fd, 0))
    words = dir_fd, path_bytes(path), flags, attr, len(attr)
    syscall("mount_setattr", NR["mount_setattr"], *words, path=path)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root of this mount namespace and hang the old one at `put_old`.

    Both may be `.`: then the old root lies on top of the new one, to be unmounted at `.`.

    Raises:
        OSError: EINVAL, among others for a root that is not a mount, or shared.

    Spec: pivot_root(2).
    """
    syscall("pivot_root", NR["pivot_root"], path_bytes(new_root), path_bytes(put_old), path=new_root)


class MountInfo:
    """One line of /proc/PID/mountinfo; paths are unescaped."""

    __slots__ = (
        "device", "fstype", "id", "mountpoint", "options", "parent", "propagation", "root", "source",
        "super_options",
    )  # fmt: skip

    def __init__(self, line: str) -> None:
        fields = line.split(" ")
        end = fields.index("-", 6)
        self.id = int(fields[0])
        self.parent = int(fields[1])
        major, _, minor = fields[2].partition(":")
        self.device = (int(major), int(minor))
        self.root = _unescape(fields[3])
        self.mountpoint = _unescape(fields[4])
        self.options = tuple(fields[5].split(","))
        self.propagation = tuple(fields[6:end])  # such as `shared:5`; empty means private
        self.fstype = _unescape(fields[end + 1])
        self.source = _unescape(fields[end + 2])
        self.super_options = tuple(fields[end + 3].split(","))


def parse_mountinfo(text: str) -> list[MountInfo]:
    """The mounts of a mountinfo file in its order, so a mount stands after what it covers.

    Raises:
        OSError: EINVAL for a line that is not one of mountinfo.

    Spec: proc_pid_mountinfo(5).
    """
    try:
        return [MountInfo(line) for line in text.split("\n") if line]
    except (ValueError, IndexError):
        raise OSError(errno.EINVAL, "not a mountinfo file") from None


def mountinfo(pid: int | str = "self") -> list[MountInfo]:
    """The mounts that process `pid` sees.

    Raises:
        OSError: ENOENT for no such process.
    """
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return parse_mountinfo(file.read())


def _unescape(field: str) -> str:
    head, *rest = field.split("\\")
    return head + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)
