"""The name under which ps and top show a forked process: it overwrites the arguments of its ancestor."""

from __future__ import annotations

import ctypes

from wherry.linux import process

_ARG_START, _ARG_END = 48, 49  # fields of /proc/PID/stat


def set_title(name: str, arguments: str) -> None:
    """Be shown as `name` alone, and as `arguments` where a command line is shown.

    The command line is cut to the length of the one the process was started with.
    """
    short = ctypes.create_string_buffer(name.encode()[:15])
    process.prctl(process.PR_SET_NAME, ctypes.addressof(short))
    with open("/proc/self/stat", "rb", buffering=0) as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = (int(fields[number - 3]) for number in (_ARG_START, _ARG_END))
    room = end - start
    if room > 1:
        line = arguments.encode("utf-8", "replace")[: room - 1].ljust(room, b"\0")
        ctypes.memmove(start, line, room)
