"""The daemon's own cgroup, where a service manager has given us a subtree.

With Delegate=yes the unit's cgroup is ours to divide.  cgroup v2 allows no processes beside child groups
that have controllers, so the daemon moves to a leaf before anything else starts; the spawner and the shims
get leaves of their own, and a limit on or a kill of one does not reach the others.

Spec: cgroups(7); systemd's CGROUP_DELEGATION.
"""

from __future__ import annotations

import os
from pathlib import Path

from wherry.diagnostics.logs import log

_V2_ROOT = Path("/sys/fs/cgroup")


def own_subtree() -> Path | None:
    """The cgroup v2 directory that the service manager delegated to us, or None."""
    if "INVOCATION_ID" not in os.environ or not (_V2_ROOT / "cgroup.controllers").exists():
        return None
    unified = [line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::/")]
    directory = _V2_ROOT / unified[0].removeprefix("0::/") if unified else _V2_ROOT
    is_delegated = directory != _V2_ROOT and _has_delegation(directory)
    return directory if is_delegated else None


def _has_delegation(directory: Path) -> bool:
    try:
        return os.getxattr(directory, "trusted.delegate") == b"1"
    except OSError:
        return False


def move_to_leaf(subtree: Path, name: str, pid: int) -> None:
    """Move a process to the group `name` of `subtree`; a refusal is logged, the process works where it is."""
    leaf = subtree / name
    try:
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        log("warning", "cannot give a process its own cgroup", leaf=leaf, pid=pid, error=error)
