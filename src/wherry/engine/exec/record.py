"""An exec while the engine runs, and the file that lets a restarted daemon know it.

The file stands in the exec root beside the task it belongs to: execs do not outlive a reboot.

    <exec-root>/engine/execs/<container id>/<exec id>.json
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from wherry.api.types import ExecConfig
from wherry.errors import NotFound
from wherry.files.atomic import write_atomic
from wherry.files.trees import DIRECTORY, remove_tree

if TYPE_CHECKING:
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine


class ExecRecord(msgspec.Struct, kw_only=True, frozen=True):
    """What was asked for."""

    id: str
    config: ExecConfig
    args: list[str]


class Exec:
    """One exec and its state; `exit_code` is None until it ends."""

    def __init__(self, record: ExecRecord, container: Container) -> None:
        self.record = record
        self.container = container
        self.state: Literal["created", "running", "stopped"] = "created"
        self.pid = 0
        self.exit_code: int | None = None
        self.ended = asyncio.Event()

    @property
    def id(self) -> str:
        """The full id."""
        return self.record.id

    @property
    def command(self) -> str:
        """The command line as events show it."""
        return " ".join(self.record.args)

    @property
    def forget_on_exit(self) -> bool:
        """Whether it goes with its container's run: one that never started could never be started."""
        return self.state == "created"


class ExecNotFound(NotFound):
    """No exec has this id."""

    def __init__(self, exec_id: str) -> None:
        super().__init__(f"No such exec instance: {exec_id}")


def find_exec(engine: Engine, exec_id: str) -> Exec:
    """The exec of a full id.

    Raises:
        ExecNotFound: none, or its container is gone.
    """
    for container in engine.containers:
        found = container.execs.get(exec_id)
        if found is not None:
            return found
    raise ExecNotFound(exec_id)


def write_exec(engine: Engine, container_id: str, record: ExecRecord) -> None:
    """Write an exec down before it is started.  Blocks."""
    directory = _directory(engine, container_id)
    directory.mkdir(mode=0o700, exist_ok=True)
    write_atomic(directory / f"{record.id}.json", msgspec.json.encode(record), sync=False)


def read_execs(engine: Engine, container_id: str) -> list[ExecRecord]:
    """The execs that were written down for a container.  Blocks."""
    records: list[ExecRecord] = []
    try:
        paths = sorted(_directory(engine, container_id).glob("*.json"))
    except OSError:
        return records
    for path in paths:
        try:
            records.append(msgspec.json.decode(path.read_bytes(), type=ExecRecord))
        except (OSError, msgspec.DecodeError):
            continue  # half written by a process that was killed: it was never started
    return records


def forget_exec(engine: Engine, container_id: str, exec_id: str) -> None:
    """Remove what was written down for one exec.  Blocks."""
    (_directory(engine, container_id) / f"{exec_id}.json").unlink(missing_ok=True)


def forget_execs(engine: Engine, container_id: str) -> None:
    """Remove what was written down for a container.  Blocks."""
    try:
        root_fd = os.open(engine.exec_records_root, DIRECTORY)
    except FileNotFoundError:
        return
    try:
        remove_tree(root_fd, container_id)
    finally:
        os.close(root_fd)


def forget_strays(engine: Engine) -> None:
    """Remove what was written down for containers without execs, as a kill leaves it.  Blocks."""
    with os.scandir(engine.exec_records_root) as entries:
        names = [entry.name for entry in entries]
    for container_id in names:
        container = engine.containers.get(container_id)
        if container is None or not container.execs:
            forget_execs(engine, container_id)


def _directory(engine: Engine, container_id: str) -> Path:
    return engine.exec_records_root / container_id
