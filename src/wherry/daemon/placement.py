"""The daemon's own cgroup, where a service manager has given us a subtree.

With Delegate=yes the unit's cgroup is ours to divide.  cgroup v2 allows no processes beside child groups
that have controllers, so the daemon moves to a leaf before anything else starts; the spawner and the shims
get another, which they enter themselves before the first fork, and a limit on or a kill of one does not
reach the other.  The same goes for the first process of a container: all of its cgroup namespace is ours.

    <unit>/wherryd   the daemon
    <unit>/spawner   the spawner and the shims: what lives on when the daemon ends

Spec: cgroups(7); systemd's CGROUP_DELEGATION.
"""

from __future__ import annotations

import os
from pathlib import Path

from wherry.diagnostics.logs import log

DAEMON, SPAWNER = "wherryd", "spawner"

_V2_ROOT = Path("/sys/fs/cgroup")


def own_subtree() -> Path | None:
    """The cgroup v2 directory that is ours to divide, or None."""
    if not (_V2_ROOT / "cgroup.controllers").exists():
        return None
    if os.getpid() == 1 and (_V2_ROOT / "cgroup.type").exists():  # which the host's own root has not
        return _V2_ROOT if os.access(_V2_ROOT / "cgroup.procs", os.W_OK) else None
    if not _is_a_service():
        return None
    unified = [line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::/")]
    directory = _V2_ROOT / unified[0].removeprefix("0::/") if unified else _V2_ROOT
    is_delegated = directory != _V2_ROOT and _has_delegation(directory)
    return directory if is_delegated else None


def _is_a_service() -> bool:
    """Whether the service manager started this very process, and not one of its services."""
    started = os.environ.get("SYSTEMD_EXEC_PID")  # since systemd 248; variables are inherited
    return "INVOCATION_ID" in os.environ and started in (None, str(os.getpid()))


def _has_delegation(directory: Path) -> bool:
    try:
        return os.getxattr(directory, "trusted.delegate") == b"1"
    except OSError:
        return False


def divide(subtree: Path) -> Path | None:
    """Move this process to a leaf of `subtree`; the leaf for the spawner and the shims.

    A refusal is logged, and all stay where they are.
    """
    try:
        for name in (DAEMON, SPAWNER):
            (subtree / name).mkdir(exist_ok=True)
        (subtree / DAEMON / "cgroup.procs").write_text("0")
    except OSError as error:
        log("warning", "cannot divide the unit's cgroup", cgroup=subtree, error=error)
        return None
    return subtree / SPAWNER
