"""Who a container's process is: user, groups, home and working directory.

Spec: runtime-spec, config.md, User.
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.runtime.failures import COMMAND_NOT_EXECUTABLE, COMMAND_NOT_FOUND, StartFailed, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.runtime.plan import Process

_LARGEST_PASSWD_BYTES = 1 << 20
_NULL_DEVICE = os.makedev(1, 3)


def set_groups_and_user(process: Process, *, may_set_groups: bool) -> None:
    """Become the process's user, with exactly its groups: none of this process's own stay.

    Raises:
        StartFailed: an id that the user namespace does not map.
    """
    try:
        if may_set_groups:
            os.setgroups(process.additional_gids)
        elif process.additional_gids:
            raise StartFailed("cannot set any additional groups in a rootless container")
        os.setresgid(process.gid, process.gid, process.gid)
        os.setresuid(process.uid, process.uid, process.uid)
    except OSError as error:
        raise StartFailed(f"setup user: {reason(error)}") from error


def own_stdio(uid: int) -> None:
    """Give the standard streams to `uid`, so that the program can reopen them by /dev/stdout.

    The null device is everybody's and is left alone (CVE-2026-88265); so is what cannot change its owner.
    """
    for fd in (0, 1, 2):
        try:
            status = os.fstat(fd)
            if status.st_uid == uid or (stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL_DEVICE):
                continue
            if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                continue  # a file of the caller's
            os.fchown(fd, uid, -1)
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.EINVAL, errno.EPERM, errno.EROFS):
                raise StartFailed(f"chown of standard stream {fd}: {reason(error)}") from error


def add_home(process: Process) -> None:
    """Set HOME from the container's /etc/passwd unless the configuration has one."""
    if not process.environment.get(b"HOME"):
        process.environment[b"HOME"] = home_of(process.uid, _read_passwd())


def home_of(uid: int, passwd: bytes) -> bytes:
    """The home directory of `uid` in the text of a passwd file, `/` where there is none."""
    wanted = b"%d" % uid
    for line in passwd.split(b"\n"):
        fields = line.split(b":")
        if len(fields) >= 6 and fields[2] == wanted:
            return fields[5] or b"/"
    return b"/"


def _read_passwd() -> bytes:
    """The file as far as it is one: not a pipe that blocks, not a device, not more than a mebibyte."""
    try:
        fd = os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        return os.read(fd, _LARGEST_PASSWD_BYTES)
    except OSError:
        return b""
    finally:
        os.close(fd)


def enter_directory(path: str, *, again: bool = False) -> bool:
    """Change to the working directory; False when only the user himself may enter it.

    Raises:
        StartFailed: it is not there, or, with `again`, not even the user may.
    """
    try:
        os.chdir(path.encode("utf-8", "surrogateescape"))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM) and not again:
            return False
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        code = COMMAND_NOT_FOUND if missing else COMMAND_NOT_EXECUTABLE
        text = f'chdir to cwd ("{path}") set in config.json failed: {reason(error)}'
        raise StartFailed(text, exit_code=code) from error
    return True


def verify_directory() -> None:
    """Prove that the working directory lies within the root (CVE-2024-21626).

    getcwd(2) says ENOENT, or a path that begins with `(unreachable)`, for a directory outside: such as one
    that is still open in some descriptor, entered as /proc/self/fd/N.

    Raises:
        StartFailed: it does not.
    """
    try:
        path = os.getcwdb()
    except FileNotFoundError:
        path = b""
    if not path.startswith(b"/"):
        raise StartFailed(
            "current working directory is outside of container mount namespace root"
            " -- possible container breakout detected"
        )
