"""A failed start in Docker's words: the chain of texts, the kind, and the exit code that is kept.

Spec: moby's daemon/errors.go, setExitCodeFromError.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NamedTuple

from wherry.core.tasks import StartFailed
from wherry.errors import InvalidArgument, NotFound, ResourceExhausted, WherryError

_CREATE_CHAIN = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "wherry-runtime create failed: unable to start container process: error during container init: "
)
_EXEC_CHAIN = "OCI runtime exec failed: exec failed: unable to start container process: "
_MOUNT_HINT = (
    ": Are you trying to mount a directory onto a file (or vice-versa)? "
    "Check if the specified host path exists and is the expected type"
)
COMMAND_NOT_FOUND, CANNOT_EXECUTE, OTHER = 127, 126, 128


class StartFailure(NamedTuple):
    """What to raise, and the exit code to keep."""

    error: WherryError
    exit_code: int


class RuntimeFailed(WherryError):
    """The runtime could not make or start the container, for a reason that is not the request's."""


class NoDeviceDriver(WherryError):
    """A request for devices that no driver serves.  It has no kind on purpose: Docker answers 500 here."""

    def __init__(self, driver: str, capabilities: Sequence[Sequence[str]]) -> None:
        sets = " ".join(f"[{' '.join(names)}]" for names in capabilities)
        super().__init__(f'could not select device driver "{driver}" with capabilities: [{sets}]')


def disk_failure(what: str, error: OSError) -> WherryError:
    """How the disk's refusal to make something is told."""
    text = f"{what}: {os.strerror(error.errno or 0).lower()}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ResourceExhausted(text)
    return RuntimeFailed(text)


def start_failure(error: BaseException) -> StartFailure:
    """How a failed start is told."""
    if not isinstance(error, StartFailed):
        known = error if isinstance(error, WherryError) else RuntimeFailed(str(error))
        return StartFailure(known, COMMAND_NOT_FOUND if isinstance(error, NotFound) else OTHER)
    return _classify(_CREATE_CHAIN, error)


def exec_failure(error: StartFailed) -> StartFailure:
    """How a failed exec is told."""
    return _classify(_EXEC_CHAIN, error)


def _classify(chain: str, error: StartFailed) -> StartFailure:
    cause = str(error)
    if "is a directory" in cause and "permission denied" not in cause:
        cause += ": permission denied"
    text = chain + cause
    if cause.startswith("error mounting") and "not a directory" in cause:
        text += "" if "Are you trying" in cause else _MOUNT_HINT
        return StartFailure(InvalidArgument(text), COMMAND_NOT_FOUND)
    if error.exit_code in {COMMAND_NOT_FOUND, CANNOT_EXECUTE}:
        return StartFailure(InvalidArgument(text), error.exit_code)
    if "no such file or directory" in cause:
        return StartFailure(RuntimeFailed(text), COMMAND_NOT_FOUND)
    return StartFailure(RuntimeFailed(text), error.exit_code or OTHER)
