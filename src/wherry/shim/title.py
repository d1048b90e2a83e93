"""The name under which ps and top show a forked process: it overwrites the arguments of its ancestor.

Only plain file operations are used after the fork, through /proc/self: every module that runs in a shim
for the first time writes to memory that it shares with others until then.
"""

from __future__ import annotations

import os

_ARG_START, _ARG_END = 48, 49  # fields of /proc/PID/stat

_place = (0, 0)


def find_place() -> None:
    """Find out where the arguments lie, which stays true in every child; once, before the first fork."""
    global _place
    fd = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
    fields = os.read(fd, 4096).rpartition(b")")[2].split()
    os.close(fd)
    start, end = (int(fields[number - 3]) for number in (_ARG_START, _ARG_END))
    _place = start, end - start


def set_title(name: str, arguments: str) -> None:
    """Be shown as `name` alone, and as `arguments` where a command line is shown.

    The command line is cut to the length of the one the ancestor was started with.
    """
    _write("/proc/self/comm", name.encode(), 0)
    start, room = _place
    if room > 1:
        _write("/proc/self/mem", arguments.encode("utf-8", "replace")[: room - 1].ljust(room, b"\0"), start)


def _write(path: str, data: bytes, offset: int) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return  # no more than a name
    try:
        os.pwrite(fd, data, offset)
    except OSError:
        pass
    finally:
        os.close(fd)
