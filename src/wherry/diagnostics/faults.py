"""Named fault points: where a test can end or fail a process between two steps.

Every step of an operation that changes the disk or the kernel passes
`fault_point("area.step")` with a literal name that stands once in the source, so that a
test can list them from the code and try each.  `WHERRY_FAULT` arms points:

    WHERRY_FAULT=start.bundle-written             SIGKILL of this process, at once
    WHERRY_FAULT=pull.blob-published=ENOSPC       OSError of that errno
    WHERRY_FAULT=start.bundle-written@/run/once   only while that file exists; it is removed first,
                                                  so that the point fires once among all processes
    WHERRY_FAULT=start.bundle-written=WAIT@/run/once   the same, and it waits: the file is renamed to
                                                  /run/once.reached, and its removal lets this thread go on

Several, parted by commas, are armed together.  Without the variable a point costs one comparison.
"""

from __future__ import annotations

import errno
import os
import time

_SIGKILL = 9  # `signal` loads enum, which a starting program does not pay for
_WAIT = "WAIT"
_WAIT_S = 0.002
_armed = os.environ.get("WHERRY_FAULT", "")


def arm(point: str) -> None:
    """Arm `point` in this process, in the variable's words; the empty string disarms."""
    global _armed
    _armed = point


def fault_point(name: str) -> None:
    """Do what WHERRY_FAULT asks for at `name`; nothing by default.

    Raises:
        OSError: with the errno that the variable names.
    """
    if _armed and name in _armed:
        for armed in _armed.split(","):
            wanted, _, once = armed.partition("@")
            point, _, code = wanted.partition("=")
            if point == name:
                _fire(name, code, once)


def _fire(name: str, code: str, once: str) -> None:
    if once:
        reached = f"{once}.reached"
        try:
            if code == _WAIT:
                os.rename(once, reached)
            else:
                os.unlink(once)
        except FileNotFoundError:
            return
        while code == _WAIT and os.path.exists(reached):
            time.sleep(_WAIT_S)
    if code == _WAIT:
        return
    if code:
        number = getattr(errno, code)
        raise OSError(number, f"fault {name}: {os.strerror(number)}")
    os.kill(os.getpid(), _SIGKILL)
    os._exit(128 + _SIGKILL)  # the first process of a pid namespace is spared its own signals
