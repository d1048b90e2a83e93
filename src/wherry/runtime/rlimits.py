"""Resource limits and the score of the out-of-memory killer, set on a process from outside.

Spec: runtime-spec, config.md, POSIX process.
"""

from __future__ import annotations

import os
import resource

from wherry.runtime.failures import InvalidSpec, StartFailed, reason

# By number, so that no table of this Python decides which limits exist.
_NUMBERS = {
    f"RLIMIT_{name}": number
    for number, name in enumerate(
        (
            "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS",
            "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
        )
    )
}  # fmt: skip
_INFINITY = 0xFFFFFFFFFFFFFFFF

Limit = tuple[str, int, int, int]  # name, number, soft, hard


def parse_rlimits(entries: list[dict[str, object]]) -> list[Limit]:
    """The limits, checked.

    Raises:
        InvalidSpec: unknown, twice, or soft above hard.
    """
    parsed: dict[str, Limit] = {}
    for entry in entries:
        name = str(entry.get("type") or "")
        number = _NUMBERS.get(name)
        if number is None:
            raise InvalidSpec(f"wrong rlimit value: {name}")
        if name in parsed:
            raise InvalidSpec(f"rlimit {name} is given twice")
        soft, hard = (_bounded(name, entry.get(kind)) for kind in ("soft", "hard"))
        if soft > hard:
            raise InvalidSpec(f"rlimit {name}: soft limit {soft} is above the hard limit {hard}")
        parsed[name] = (name, number, soft, hard)
    return list(parsed.values())


def set_rlimits(pid: int, limits: list[Limit]) -> None:
    """Set the limits of process `pid`, which waits.

    Raises:
        StartFailed: naming the limit: raising a hard limit takes CAP_SYS_RESOURCE.
    """
    for _, number, soft, hard in limits:
        try:
            resource.prlimit(pid, number, (_for_python(soft), _for_python(hard)))
        except (OSError, ValueError) as error:
            cause = reason(error) if isinstance(error, OSError) else str(error)
            raise StartFailed(f"error setting rlimit type {number}: {cause}") from error


def set_oom_score(pid: int, score: int | None) -> None:
    """Set the score by which the kernel chooses whom to kill; None leaves it.

    From outside, for a process that is not dumpable may not write its own.

    Raises:
        StartFailed: lowering it takes CAP_SYS_RESOURCE.
    """
    if score is None:
        return
    try:
        fd = os.open(f"/proc/{pid}/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
        try:
            # Only a change needs a right: an unprivileged runtime may ask for what is anyway so.
            if int(os.read(fd, 16)) != score:
                os.write(fd, b"%d" % score)
        finally:
            os.close(fd)
    except OSError as error:
        raise StartFailed(f"set oom_score_adj to {score}: {reason(error)}") from error


def _bounded(name: str, value: object) -> int:
    if not isinstance(value, int) or not -1 <= value <= _INFINITY:
        raise InvalidSpec(f"rlimit {name}: {value!r} is not a limit")
    return value & _INFINITY


def _for_python(value: int) -> int:
    return -1 if value == _INFINITY else value
