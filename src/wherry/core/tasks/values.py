"""What goes into the task service and what comes out of it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from wherry.core.mounts import Mount
from wherry.errors import NotFound, WherryError
from wherry.shim.protocol import SHIM_LOST

__all__ = [
    "SHIM_LOST",
    "AttachEnd",
    "CreateTask",
    "ExecNotFound",
    "Exit",
    "LogTarget",
    "StartFailed",
    "TaskEvent",
    "TaskNotFound",
    "TaskState",
]

TaskState = Literal["created", "running", "paused", "stopped"]
AttachEnd = Literal["eof", "detached", "exited", "failed"]


class TaskNotFound(NotFound):
    """No task of this tenant has this id."""

    def __init__(self, tenant: str, task_id: str) -> None:
        super().__init__(f"task {task_id} of tenant {tenant} not found")


class ExecNotFound(NotFound):
    """The task has no exec of this id."""

    def __init__(self, exec_id: str) -> None:
        super().__init__(f"exec {exec_id} not found")


class StartFailed(WherryError):
    """The program could not be started; the text is the cause alone, without a front's prefixes.

    `exit_code` is 127 for what is not there, 126 for what cannot be executed, else 128.
    """

    def __init__(self, message: str, *, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class LogTarget(msgspec.Struct, kw_only=True, frozen=True):
    """Where a task's output is logged, in the json-file format."""

    path: str
    max_size_bytes: int = 0  # 0: one file without end
    max_files: int = 1
    attrs: dict[str, str] = {}  # stand in every line


class CreateTask(msgspec.Struct, kw_only=True, frozen=True):
    """A task to create.  `spec` is the OCI runtime configuration; `rootfs` its root directory's mount."""

    tenant: str
    id: str
    spec: dict[str, Any]
    rootfs: list[Mount]
    terminal: bool = False
    stdin: bool = False
    stdin_once: bool = False
    log: LogTarget | None = None
    labels: dict[str, str] = {}


class Exit(msgspec.Struct, kw_only=True, frozen=True):
    """How a process ended: `exit_code` is 128 + n after signal n; `error` says what else went wrong."""

    exit_code: int
    at_ns: int
    oom_killed: bool = False
    error: str = ""


class TaskEvent(msgspec.Struct, kw_only=True, frozen=True):
    """Something that happened to a task; `exec_id` and `exit` where the topic has them."""

    topic: Literal["exited", "released", "exec_exited"]
    tenant: str
    id: str
    exec_id: str | None = None
    exit: Exit | None = None
