"""A /dev/shm that other containers may join: a tmpfs in the container's directory.

It is mounted at the start and unmounted at the exit.  A crash leaves it mounted; the next
start finds it, and removal and restore unmount it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wherry.diagnostics.faults import fault_point
from wherry.engine.containers.directory import directory_of
from wherry.linux.mount import MNT_DETACH, MS_NODEV, MS_NOEXEC, MS_NOSUID, mount, umount

if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.engine.records import ContainerRecord


def shared_memory_of(engine: Engine, record: ContainerRecord) -> str:
    """Where a container that shares its memory has it."""
    if record.host_config.ipc_mode == "host":
        return "/dev/shm"
    return str(directory_of(engine, record.id) / "shm")


def share_memory(engine: Engine, record: ContainerRecord) -> str:
    """Mount the shareable /dev/shm of a container, if it is not, and return where.  Blocks."""
    path = shared_memory_of(engine, record)
    os.makedirs(path, mode=0o700, exist_ok=True)
    if not os.path.ismount(path):
        fault_point("start.shm-directory-made")
        options = f"mode=1777,size={record.host_config.shm_size}"
        mount("shm", path, "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, options)
    return path


def release_memory(engine: Engine, record: ContainerRecord) -> None:
    """Unmount what `share_memory` mounted; nothing where nothing is mounted.  Blocks."""
    if record.host_config.ipc_mode == "shareable":
        path = shared_memory_of(engine, record)
        if os.path.ismount(path):
            umount(path, MNT_DETACH)
