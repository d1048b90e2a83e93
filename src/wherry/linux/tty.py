"""Terminals: pseudo-terminal pairs, window sizes, and the raw mode."""

from __future__ import annotations

import fcntl
import os
import struct

_TCGETS, _TCSETS = 0x5401, 0x5402
_TIOCSCTTY, _TIOCGWINSZ, _TIOCSWINSZ = 0x540E, 0x5413, 0x5414
_TIOCGPTN, _TIOCSPTLCK, _TIOCGPTPEER = 0x80045430, 0x40045431, 0x5441

# struct termios of the kernel: four flag words, the line discipline, 19 control characters.
_TERMIOS = struct.Struct("IIIIB19s")
_VTIME, _VMIN = 5, 6
_INPUT_COOKING = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000
#               IGNBRK BRKINT PARMRK ISTRIP  INLCR   IGNCR   ICRNL   IXON
_OPOST = 0o1
_CSIZE, _PARENB, _CS8 = 0o60, 0o400, 0o60
_LOCAL_COOKING = 0o1 | 0o2 | 0o10 | 0o100 | 0o100000
#                ISIG ICANON ECHO  ECHONL   IEXTEN


def open_pty(devpts_dir_fd: int | None = None) -> tuple[int, int]:
    """Open a new pseudo-terminal: (master, slave), both close-on-exec and the caller's.

    It is one of the devpts mounted at `devpts_dir_fd`, or of /dev/ptmx.  The slave is opened through
    the master, so no path inside a container is followed.

    Raises:
        OSError: ENOENT or EACCES at ptmx, ENOSPC or EIO at the limit of terminals.
    """
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    if devpts_dir_fd is None:
        master = os.open("/dev/ptmx", flags)
    else:
        master = os.open("ptmx", flags | os.O_NOFOLLOW, dir_fd=devpts_dir_fd)
    try:
        fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
        return master, fcntl.ioctl(master, _TIOCGPTPEER, flags)
    except BaseException:
        os.close(master)
        raise


def pty_number(master: int) -> int:
    """The N of /dev/pts/N that is this master's other side."""
    number: int = struct.unpack("I", fcntl.ioctl(master, _TIOCGPTN, bytes(4)))[0]
    return number


def make_controlling(fd: int) -> None:
    """Make `fd` the controlling terminal of this session, which this process leads.

    Raises:
        OSError: EPERM when not the session's leader, or the terminal has a session already.
    """
    fcntl.ioctl(fd, _TIOCSCTTY, 0)


def set_window_size(fd: int, rows: int, columns: int) -> None:
    """Set the terminal's size in characters; its foreground processes get SIGWINCH on a change.

    Raises:
        OSError: ENOTTY; EINVAL outside 0..65535.
    """
    if not (0 <= rows <= 0xFFFF and 0 <= columns <= 0xFFFF):
        raise OSError(22, f"window size {rows}x{columns} out of range")
    fcntl.ioctl(fd, _TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def window_size(fd: int) -> tuple[int, int]:
    """The terminal's size: (rows, columns).

    Raises:
        OSError: ENOTTY.
    """
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, _TIOCGWINSZ, bytes(8)))
    return rows, columns


def get_mode(fd: int) -> bytes:
    """The terminal's mode, for `set_mode` to put back.

    Raises:
        OSError: ENOTTY.
    """
    return fcntl.ioctl(fd, _TCGETS, bytes(_TERMIOS.size))


def set_mode(fd: int, mode: bytes) -> None:
    """Set the terminal's mode to one that `get_mode` or `raw_mode` returned.

    Raises:
        OSError: ENOTTY.
    """
    fcntl.ioctl(fd, _TCSETS, mode)


def raw_mode(mode: bytes) -> bytes:
    """`mode` changed to raw: bytes pass one by one and unchanged, no echo, no signals.

    Spec: termios(3), cfmakeraw.
    """
    input_flags, output_flags, control, local, line, characters = _TERMIOS.unpack(mode)
    changed = bytearray(characters)
    changed[_VMIN], changed[_VTIME] = 1, 0
    return _TERMIOS.pack(
        input_flags & ~_INPUT_COOKING,
        output_flags & ~_OPOST,
        control & ~(_CSIZE | _PARENB) | _CS8,
        local & ~_LOCAL_COOKING,
        line,
        bytes(changed),
    )
