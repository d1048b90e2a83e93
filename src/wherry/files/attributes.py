"""Attributes of files: owner, mode, times and extended attributes, set through descriptors.

Extended attributes come from images, so each name is checked: what overlayfs keeps for itself
never comes from outside (CVE-2023-0386), nor do labels of a security module of this host.
"""

from __future__ import annotations

import errno
import os

OVERLAY_PREFIXES = ("trusted.overlay.", "user.overlay.")
OPAQUE = "trusted.overlay.opaque"
CAPABILITY = "security.capability"
_KEPT_PREFIXES = ("user.", "trusted.", "system.posix_acl_")
_CAPABILITY_V3 = b"\x03"


def is_kept(name: str, value: bytes) -> bool:
    """Whether an extended attribute belongs to the file's content, in an archive and in a copy."""
    if name == CAPABILITY:
        # Version 3 holds the root id of a user namespace, which means nothing elsewhere.
        return len(value) < 24 or value[3:4] != _CAPABILITY_V3 or value[20:24] == b"\0\0\0\0"
    return name.startswith(_KEPT_PREFIXES) and not name.startswith(OVERLAY_PREFIXES)


def read_xattrs(target: int | str) -> dict[str, bytes]:
    """The kept extended attributes of a descriptor, or of a path whose last name is not followed."""
    follow = isinstance(target, int)
    try:
        names = os.listxattr(target, follow_symlinks=follow)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM, errno.ENODATA, errno.ELOOP):
            return {}
        raise
    xattrs = {}
    for name in sorted(names):
        try:
            value = os.getxattr(target, name, follow_symlinks=follow)
        except OSError as error:
            if error.errno == errno.ENODATA:
                continue  # removed meanwhile
            raise
        if is_kept(name, value):
            xattrs[name] = value
    return xattrs


def write_xattrs(target: int | str, xattrs: dict[str, bytes]) -> None:
    """Set extended attributes; the file system's lack of a kind of them is no failure."""
    follow = isinstance(target, int)
    for name, value in xattrs.items():
        if not is_kept(name, value):
            continue
        try:
            os.setxattr(target, name, value, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise


def descriptor_path(fd: int, name: bytes | str = b"") -> str:
    """A path to what `fd` holds, or to `name` in it, for calls that have no form with a descriptor."""
    return f"/proc/self/fd/{fd}/{os.fsdecode(name)}" if name else f"/proc/self/fd/{fd}"


def copy_attributes(source_fd: int, target_fd: int) -> None:
    """Give `target_fd` the owner, mode, extended attributes and times of `source_fd`."""
    status = os.fstat(source_fd)
    os.fchown(target_fd, status.st_uid, status.st_gid)
    os.fchmod(target_fd, status.st_mode & 0o7777)  # after the owner, which clears setuid
    write_xattrs(target_fd, read_xattrs(source_fd))
    os.utime(target_fd, ns=(status.st_atime_ns, status.st_mtime_ns))
