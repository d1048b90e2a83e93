"""Mounts of a container in the runtime's words.

Spec: runtime-spec, config.md, Mounts; messages of moby's daemon/oci_linux.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry.core.spec import default_mounts
from wherry.engine.records import MountPoint

_NEVER_READ_ONLY = frozenset({"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"})


def oci_mounts(
    points: tuple[MountPoint, ...],
    *,
    files: Mapping[str, str],
    shm_size: int,
    shm_source: str | None,
    has_shm: bool = True,
    privileged: bool = False,
    readonly_rootfs: bool = False,
    writable_cgroups: bool = False,
    recursive_read_only: bool = True,
) -> list[dict[str, Any]]:
    """All mounts of a container: the kernel's, then the user's and the engine's by depth.

    `files` has the engine's own files by destination.  `shm_source` is a directory to share as
    /dev/shm instead of a fresh one.
    """
    user = {point.destination: point for point in points}
    mounts = [m for m in default_mounts(shm_size=shm_size) if _keeps(m["destination"], user)]
    if shm_source is not None or not has_shm:
        mounts = [m for m in mounts if m["destination"] != "/dev/shm"]
    for mount in mounts:
        _set_access(mount, privileged, readonly_rootfs, writable_cgroups)
    own = [_oci_mount(point, recursive_read_only) for point in points]
    own += [_bind(source, at, ro=readonly_rootfs) for at, source in files.items() if at not in user]
    if shm_source is not None and has_shm and "/dev/shm" not in user:
        own.append(_bind(shm_source, "/dev/shm", ro=False))
    return mounts + sorted(own, key=lambda mount: mount["destination"].count("/"))


def _keeps(destination: str, user: Mapping[str, MountPoint]) -> bool:
    return destination not in user and not (destination.startswith("/dev/") and "/dev" in user)


def _set_access(
    mount: dict[str, Any], privileged: bool, readonly_rootfs: bool, writable_cgroups: bool
) -> None:
    destination, options = mount["destination"], mount["options"]
    is_cgroup = destination == "/sys/fs/cgroup"
    if (privileged and destination == "/sys") or (is_cgroup and (privileged or writable_cgroups)):
        options.remove("ro")
        if is_cgroup:
            options.append("rw")
    elif readonly_rootfs and destination not in _NEVER_READ_ONLY and "ro" not in options:
        options.append("ro")


def _oci_mount(point: MountPoint, recursive_read_only: bool) -> dict[str, Any]:
    if point.type == "tmpfs":
        options = [*point.tmpfs_options, "rprivate"]
        return {"destination": point.destination, "type": "tmpfs", "source": "tmpfs", "options": options}
    options = ["rbind" if point.recursive else "bind"]
    if not point.rw:
        deep = point.recursive and point.read_only != "top" and recursive_read_only
        options.append("rro" if deep or point.read_only == "forced" else "ro")
    options.append(point.propagation or "rprivate")
    return {"destination": point.destination, "type": "bind", "source": point.source, "options": options}


def _bind(source: str, destination: str, *, ro: bool) -> dict[str, Any]:
    options = ["rbind", "rprivate"] + (["ro"] if ro else [])
    return {"destination": destination, "type": "bind", "source": source, "options": options}
