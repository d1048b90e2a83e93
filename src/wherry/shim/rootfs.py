"""The root directory's mount, assembled as a descriptor that hangs nowhere in the tree.

An overlay is made through fsopen with one `lowerdir+` for each layer.  Where the kernel lacks that (before
6.7), mount(2) makes it in the private mount namespace of a child, over short names: links 0, 1, 2…
in a tmpfs stand for the layers, so that 127 of them fit into the page that mount(2) takes; open_tree then
gives the same kind of descriptor.

Nothing here is ever mounted in the host's namespace, so nothing can be left behind there.
"""

from __future__ import annotations

import _socket
import errno
import os

from wherry.errors import InvalidArgument, Unavailable, Unsupported, WherryError
from wherry.linux import mount, namespaces, process
from wherry.shim import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_LONGEST_STRING = 255  # of fsconfig
_PAGE = 4096
_TAKES_LAYERS_SINCE = (6, 7)

_FLAGS = {
    "ro": mount.MOUNT_ATTR_RDONLY,
    "nosuid": mount.MOUNT_ATTR_NOSUID,
    "nodev": mount.MOUNT_ATTR_NODEV,
    "noexec": mount.MOUNT_ATTR_NOEXEC,
    "noatime": mount.MOUNT_ATTR_NOATIME,
    "nodiratime": mount.MOUNT_ATTR_NODIRATIME,
}
_IGNORED = frozenset(("rw", "bind", "rbind", "suid", "dev", "exec", "relatime", ""))


class RootfsNotMounted(Unavailable):
    """The root directory cannot be mounted."""

    def __init__(self, what: str, error: OSError, messages: Sequence[str] = ()) -> None:
        said = "".join(f"; kernel: {message}" for message in messages)
        super().__init__(f"cannot mount the root directory: {what}: {os.strerror(error.errno or 0)}{said}")
        self.errno = error.errno


class Overlay:
    """The options of an overlay, parsed."""

    __slots__ = ("attributes", "lower", "others", "upper", "work")

    def __init__(self, options: Sequence[str]) -> None:
        self.lower: list[str] = []  # topmost first
        self.upper = self.work = ""
        self.attributes = 0
        self.others: list[tuple[str, str | None]] = []
        for option in options:
            key, has_value, value = option.partition("=")
            if key == "lowerdir":
                self.lower = split_paths(value)
            elif key == "upperdir":
                self.upper = split_paths(value)[0]
            elif key == "workdir":
                self.work = split_paths(value)[0]
            elif option in _FLAGS:
                self.attributes |= _FLAGS[option]
            elif option not in _IGNORED:
                self.others.append((key, value if has_value else None))
        if not self.lower:
            raise InvalidArgument("an overlay needs a lowerdir")


def split_paths(value: str) -> list[str]:
    """The paths of an overlay option: parted by colons, a backslash takes the meaning of what follows."""
    paths = [""]
    escaped = False
    for letter in value:
        if escaped or letter not in "\\:":
            paths[-1] += letter
            escaped = False
        elif letter == "\\":
            escaped = True
        else:
            paths.append("")
    return paths


def assemble(mounts: Sequence[dict[str, Any]], *, new_mount_calls: bool = True) -> int:
    """A detached mount of the root directory that `mounts` describes: a descriptor, the caller's.

    `new_mount_calls` false takes the way of older kernels at once.

    Raises:
        RootfsNotMounted: the kernel refuses.
        InvalidArgument, Unsupported: not exactly one mount, or of an unknown type.
    """
    if len(mounts) != 1:
        raise InvalidArgument(f"a root directory needs exactly one mount, not {len(mounts)}")
    kind, options = mounts[0]["type"], mounts[0]["options"]
    if kind == "bind":
        return _bind(mounts[0]["source"], options)
    if kind != "overlay":
        raise Unsupported(f"root directory of type {kind!r}: expected overlay or bind")
    overlay = Overlay(options)
    if new_mount_calls and takes_layers(os.uname().release):
        made = _by_configuration(overlay)
        if made >= 0:
            return made
    return _in_private_namespace(overlay)


def takes_layers(release: str) -> bool:
    """Whether the kernel `release` can know `lowerdir+`.

    Asking it would not do: before 6.5 overlay takes any word, and refuses all of them together at the
    end, with a line in the kernel's log each time.
    """
    numbers = "".join(letter if letter.isdigit() else " " for letter in release).split()
    return (int(numbers[0]), int(numbers[1])) >= _TAKES_LAYERS_SINCE


def _bind(source: str, options: Sequence[str]) -> int:
    recursive = mount.AT_RECURSIVE if "rbind" in options else 0
    attributes = 0
    for option in options:
        attributes |= _FLAGS.get(option, 0)
    try:
        fd = mount.open_tree(source, mount.OPEN_TREE_CLONE | recursive)
        try:
            # Private, so that nothing mounted on the host later appears inside, nor the reverse.
            mount.mount_setattr(fd, "", recursive, attr_set=attributes, propagation=mount.MS_PRIVATE)
        except BaseException:
            os.close(fd)
            raise
    except OSError as error:
        raise RootfsNotMounted(source, error) from error
    return fd


def _by_configuration(overlay: Overlay) -> int:
    """The overlay by fsopen; -1 where the kernel does not take its layers that way."""
    try:
        context = mount.fsopen("overlay")
    except OSError as error:
        raise RootfsNotMounted("overlay", error) from error
    opened: list[int] = []
    try:
        try:
            for path in overlay.lower:
                mount.fsconfig_set_string(context, "lowerdir+", _short(path, opened))
        except OSError as error:
            if error.errno == errno.EINVAL:
                return -1
            raise
        if overlay.upper:
            mount.fsconfig_set_string(context, "upperdir", _short(overlay.upper, opened))
            mount.fsconfig_set_string(context, "workdir", _short(overlay.work, opened))
        for key, value in overlay.others:
            if value is None:
                mount.fsconfig_set_flag(context, key)
            else:
                mount.fsconfig_set_string(context, key, value)
        mount.fsconfig_set_string(context, "source", "overlay")
        mount.fsconfig_create(context)
        return mount.fsmount(context, overlay.attributes)
    except OSError as error:
        raise RootfsNotMounted("overlay", error, mount.fs_messages(context)) from error
    finally:
        for fd in (context, *opened):
            os.close(fd)


def _short(path: str, opened: list[int]) -> str:
    # A longer path, or one with what the kernel may take for an escape, goes by a descriptor; the
    # kernel keeps the directory, not the name.
    if len(os.fsencode(path)) <= _LONGEST_STRING and "\\" not in path:
        return path
    opened.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    return f"/proc/self/fd/{opened[-1]}"


def _in_private_namespace(overlay: Overlay) -> int:
    """The overlay by mount(2), made by a child in a mount namespace that dies with it."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    pid, pidfd = process.clone3(namespaces.CLONE_NEWNS)
    if pid == 0:
        _answer_mount(theirs, overlay)
    theirs.close()
    try:
        answer = protocol.receive(ours)
    finally:
        ours.close()
        process.wait_pidfd(pidfd)
        os.close(pidfd)
    message, fds = answer if answer is not None else ({"errno": errno.EIO, "what": "no answer"}, [])
    if not fds:
        raise RootfsNotMounted(message["what"], OSError(message["errno"], ""))
    return fds[0]


def _answer_mount(sock: _socket.socket, overlay: Overlay) -> None:
    """In the child: mount, answer with the descriptor or the reason, and end."""
    try:
        fd = _mount_over_links(overlay)
        protocol.send(sock, {}, [fd])
    except BaseException as error:
        number = error.errno if isinstance(error, OSError) else errno.EINVAL
        protocol.send(sock, {"errno": number or errno.EIO, "what": f"overlay by mount(2): {error}"})
    finally:
        os._exit(0)


def _mount_over_links(overlay: Overlay) -> int:
    # The new namespace's copies must not spread what follows to the host.
    mount.mount("", "/", "", mount.MS_REC | mount.MS_PRIVATE)
    mount.mount("tmpfs", "/proc", "tmpfs", mount.MS_NOSUID | mount.MS_NODEV, "mode=700")
    os.chdir("/proc")  # a directory that every root has and that no layer lies in
    os.mkdir("root")
    for number, path in enumerate(overlay.lower):
        os.symlink(path, str(number))
    words = [f"lowerdir={':'.join(str(number) for number in range(len(overlay.lower)))}"]
    if overlay.upper:
        os.symlink(overlay.upper, "upper")
        os.symlink(overlay.work, "work")
        words += ["upperdir=upper", "workdir=work"]
    words += [key if value is None else f"{key}={value}" for key, value in overlay.others]
    data = ",".join(words)
    if len(data) >= _PAGE:
        raise WherryError(f"{len(overlay.lower)} layers do not fit into a page of options")
    mount.mount("overlay", "root", "overlay", 0, data)
    fd = mount.open_tree("root", mount.OPEN_TREE_CLONE)
    mount.mount_setattr(fd, "", 0, attr_set=overlay.attributes, propagation=mount.MS_PRIVATE)
    return fd
