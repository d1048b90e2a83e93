"""User namespaces: the mappings of ids, written by the parent.

Spec: user_namespaces(7).
"""

from __future__ import annotations

import os

from wherry.runtime.failures import InvalidSpec, StartFailed, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Mappings = list[dict[str, Any]]

_MOST_LINES = 340


def mapping_text(mappings: Mappings) -> str:
    """The lines for /proc/PID/uid_map.

    Raises:
        InvalidSpec: out of range, or more than the kernel takes.
    """
    if len(mappings) > _MOST_LINES:
        raise InvalidSpec(f"{len(mappings)} id mappings, where the kernel takes {_MOST_LINES}")
    lines = []
    for mapping in mappings:
        numbers = [mapping.get(key) for key in ("containerID", "hostID", "size")]
        for number in numbers:
            if not isinstance(number, int) or not 0 <= number <= 0xFFFFFFFF:
                raise InvalidSpec(f"id mapping {mapping!r} is out of range")
        lines.append("{} {} {}\n".format(*numbers))
    return "".join(lines)


def write_mappings(pid: int, uids: str, gids: str) -> None:
    """Give the new user namespace of process `pid` its mappings.

    setgroups stays allowed: with CAP_SETGID outside, dropping groups is no way around a permission.

    Raises:
        StartFailed: the kernel refuses them.
    """
    for file, text in (("gid_map", gids), ("uid_map", uids)):
        try:
            fd = os.open(f"/proc/{pid}/{file}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, text.encode())  # the kernel takes one write
            finally:
                os.close(fd)
        except OSError as error:
            raise StartFailed(f"failed to update {file}: {reason(error)}") from error
