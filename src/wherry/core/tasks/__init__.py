"""Tasks: the running processes of containers.

A task is created from a runtime configuration and a root directory's mounts, which makes its bundle, its
shim and its init; `start` lets init execute the program.  When init ends, `exited` tells how; when no mount,
cgroup or process of it is left, `released` is done, and only then may its snapshot be mounted, committed or
removed.  The shim stays until `delete` acknowledges the exit.

Shims outlive this process and the spawner: `recover` finds them again.  A shim that dies takes its task
along: what ran is killed, and the exit is 137 with the error "shim lost", unless the shim had recorded one.
"""

from wherry.core.tasks.service import TaskService
from wherry.core.tasks.task import Task
from wherry.core.tasks.values import (
    SHIM_LOST,
    AttachEnd,
    CreateTask,
    ExecNotFound,
    Exit,
    LogTarget,
    StartFailed,
    TaskEvent,
    TaskNotFound,
    TaskState,
)

__all__ = [
    "SHIM_LOST",
    "AttachEnd",
    "CreateTask",
    "ExecNotFound",
    "Exit",
    "LogTarget",
    "StartFailed",
    "Task",
    "TaskEvent",
    "TaskNotFound",
    "TaskService",
    "TaskState",
]
