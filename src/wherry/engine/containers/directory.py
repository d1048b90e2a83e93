"""A container's directory: `<data-root>/containers/<id>`.

    hostname, hosts, resolv.conf    bind-mounted into the container, written at each start
    <id>-json.log[.N]               its output
    shm/                            a tmpfs, while others may share its /dev/shm

It is the first thing of a container that is made and the last that goes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.files.trees import DIRECTORY, remove_tree

if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.engine.records import ContainerRecord

FILES = {"/etc/hostname": "hostname", "/etc/hosts": "hosts", "/etc/resolv.conf": "resolv.conf"}


def directory_of(engine: Engine, container_id: str) -> Path:
    """Where the container's own files are."""
    return engine.containers_root / container_id


def log_path(engine: Engine, container_id: str) -> Path:
    """The newest file of the container's log."""
    return directory_of(engine, container_id) / f"{container_id}-json.log"


def make_directory(engine: Engine, record: ContainerRecord) -> None:
    """Make the directory, of a mode that keeps other users out.  Blocks."""
    path = directory_of(engine, record.id)
    os.mkdir(path, 0o710)
    os.chmod(path, 0o710)


def remove_directory(engine: Engine, container_id: str) -> None:
    """Remove the directory with all that is in it; it may be gone.  Blocks."""
    root_fd = os.open(engine.containers_root, DIRECTORY)
    try:
        remove_tree(root_fd, container_id)
    finally:
        os.close(root_fd)
