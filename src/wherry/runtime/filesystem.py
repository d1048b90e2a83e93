"""Detached mounts: new filesystems and copies of existing trees, not yet anywhere.

Made before there is a place for them, so that no path of the container is involved.
"""

from __future__ import annotations

import os

from wherry.linux import mount as m
from wherry.linux.libc import AT_EMPTY_PATH
from wherry.runtime.failures import StartFailed, reason
from wherry.runtime.options import MountOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_VALUE = 255  # of fsconfig
_TO_FD = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH


def make_filesystem(fstype: str, source: str, data: Iterable[str] = (), attributes: int = 0) -> int:
    """A new filesystem, mounted nowhere yet; the caller owns the descriptor.

    `data` are options of the filesystem, `key` or `key=value`.

    Raises:
        OSError: what the kernel says, with its own words where it has some.
    """
    context = m.fsopen(fstype)
    try:
        if source:
            m.fsconfig_set_string(context, "source", source)
        for word in data:
            key, separator, value = word.partition("=")
            if separator:
                m.fsconfig_set_string(context, key, value)
            else:
                m.fsconfig_set_flag(context, key)
        m.fsconfig_create(context)
        return m.fsmount(context, attributes)
    except OSError as error:
        messages = "; ".join(text[2:] for text in m.fs_messages(context))
        if messages:
            raise OSError(error.errno, f"{error.strerror} ({messages})", fstype) from None
        raise
    finally:
        os.close(context)


def fits_fsconfig(data: Iterable[str]) -> bool:
    """Whether every option can be passed one by one; else only mount(2) takes them."""
    return all(len(os.fsencode(word.partition("=")[2])) <= _LONGEST_VALUE for word in data)


def clone_tree(path: str, options: MountOptions, default: tuple[int, bool], *, dir_fd: int = -100) -> int:
    """A copy of the mounts at `path`, with the attributes and the propagation of `options`.

    The caller owns the descriptor.  `default` is the propagation where the options name none: a copy is
    otherwise a peer of a shared original, and what is mounted in the container would appear on the host.

    Raises:
        OSError: ENOENT, EPERM; EINVAL for an unbindable mount.
    """
    recursive = m.AT_RECURSIVE if options.recursive_bind else 0
    flags = m.OPEN_TREE_CLONE | recursive | (0 if path else AT_EMPTY_PATH)
    fd = m.open_tree(path, flags, dir_fd=dir_fd)
    try:
        change_mount(fd, options, default)
    except BaseException:
        os.close(fd)
        raise
    return fd


def change_mount(fd: int, options: MountOptions, default: tuple[int, bool] | None) -> None:
    """Give the mount `fd` its propagation and its attributes.

    Raises:
        OSError: EPERM for an attribute that an outer user namespace has locked.
    """
    wanted = list(options.propagation)
    if default and not (wanted and wanted[0][1]):
        wanted.insert(0, default)
    single = [options.attr_set, options.attr_clr, 0]
    recursive = [options.recursive_attr_set, options.recursive_attr_clr, 0]
    # One call does for attributes and propagation together; only a second propagation takes another.
    for flag, everywhere in wanted:
        change = recursive if everywhere else single
        if change[2]:
            m.mount_setattr(fd, "", m.AT_RECURSIVE if everywhere else 0, propagation=change[2])
        change[2] = flag
    if any(recursive):
        _set_attributes(fd, m.AT_RECURSIVE, recursive)
    if any(single):
        _set_attributes(fd, 0, single)


def attach(tree_fd: int, target_fd: int, *, source: str, destination: str) -> None:
    """Attach a detached mount to the file or directory open at `target_fd`.

    Raises:
        StartFailed: a directory on a file or a file on a directory, or what the kernel says.
    """
    tree_is_directory = os.fstat(tree_fd).st_mode & 0o170000 == 0o040000
    target_is_directory = os.fstat(target_fd).st_mode & 0o170000 == 0o040000
    if tree_is_directory != target_is_directory:  # the kernel would only say EINVAL
        kind = "a directory onto a file" if tree_is_directory else "a file onto a directory"
        raise mount_failed(source, destination, f"mount {kind}: not a directory", exit_code=127)
    try:
        m.move_mount(tree_fd, "", target_fd, "", _TO_FD)
    except OSError as error:
        raise mount_failed(source, destination, f"move_mount: {reason(error)}") from error


def mount_failed(source: str, destination: str, cause: str, *, exit_code: int = 128) -> StartFailed:
    """The failure to mount `source`, in the words that Docker's engine looks for."""
    text = f'error mounting "{source}" to rootfs at "{destination}": {cause}'
    return StartFailed(text, exit_code=exit_code)


def _set_attributes(fd: int, flags: int, change: list[int]) -> None:
    attr_set, attr_clr, propagation = change
    m.mount_setattr(fd, "", flags, attr_set=attr_set, attr_clr=attr_clr, propagation=propagation)
