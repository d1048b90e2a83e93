"""What goes wrong in the runtime, in the texts that Docker's clients know."""

from __future__ import annotations

import os

from wherry.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, WherryError

COMMAND_NOT_FOUND = 127
COMMAND_NOT_EXECUTABLE = 126
START_FAILED = 128


class StartFailed(WherryError):
    """A process could not be started; the text is the bare cause.

    `exit_code` is what Docker stores for the container: 127 for a command or directory that is not
    there, 126 for one that may not be executed, 128 for all else.
    """

    def __init__(self, message: str, *, exit_code: int = START_FAILED, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class InvalidSpec(InvalidArgument):
    """The bundle's configuration cannot be run by anyone."""


class ContainerNotFound(NotFound):
    """No container has this id."""

    def __init__(self) -> None:
        super().__init__("container does not exist")


class ContainerExists(AlreadyExists):
    """Another container has this id."""

    def __init__(self) -> None:
        super().__init__("container with given ID already exists")


class WrongState(Conflict):
    """The container's state does not allow the operation."""


def reason(error: OSError) -> str:
    """What the kernel said, in Go's spelling: `no such file or directory`."""
    if error.errno is None:
        return str(error)
    text = os.strerror(error.errno)
    return text[:1].lower() + text[1:]


def explain(error: OSError) -> str:
    """The call that failed, what the kernel said and, where it said more, that too.

    `fsconfig: invalid argument (tmpfs: Bad value for 'size')`
    """
    if error.errno is None or error.strerror is None:
        return str(error)
    return error.strerror.replace(os.strerror(error.errno), reason(error), 1)
