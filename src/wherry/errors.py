"""The kinds of failure, those of containerd and gRPC.

Callers act on kinds (`except NotFound`).  Leaves live beside what fails and own their
text.  Each front turns kinds into its own codes in one table: HTTP in `api/errors.py`,
exit codes in `cli/main.py`.  Between processes travels `{kind, message}`; the traceback
stays in the sender's log.
"""

from __future__ import annotations


class WherryError(Exception):
    """A failure with a text for the user: lower case, no full stop, names the object.

    `hint` suggests the next step; the CLI shows it apart from the message.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class InvalidArgument(WherryError):
    """The request itself is wrong, whatever the state."""


class NotFound(WherryError):
    """The named object does not exist."""


class AlreadyExists(WherryError):
    """An object of that name exists."""


class Conflict(WherryError):
    """The object's present state forbids the operation."""


class NotModified(WherryError):
    """The object is already in the state asked for."""


class PermissionDenied(WherryError):
    """The caller is known and may not."""


class Unauthenticated(WherryError):
    """The caller is not known."""


class ResourceExhausted(WherryError):
    """A disk, a quota or another bounded resource is full."""


class Unavailable(WherryError):
    """A part is not there at the moment; the same call may succeed later."""


class DeadlineExceeded(WherryError):
    """It took longer than it may."""


class Unsupported(WherryError):
    """This engine, kernel or peer cannot do it."""


class DataLoss(WherryError):
    """Stored bytes are not what they were."""


KINDS: tuple[type[WherryError], ...] = (
    InvalidArgument,
    NotFound,
    AlreadyExists,
    Conflict,
    NotModified,
    PermissionDenied,
    Unauthenticated,
    ResourceExhausted,
    Unavailable,
    DeadlineExceeded,
    Unsupported,
    DataLoss,
)
_BY_NAME = {kind.__name__: kind for kind in KINDS}


def to_wire(error: BaseException) -> dict[str, str]:
    """`error` as it travels between processes: kind, message and, where given, hint."""
    kind = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _BY_NAME), "WherryError")
    wire = {"kind": kind, "message": str(error) or type(error).__name__}
    hint = getattr(error, "hint", None)
    if hint:
        wire["hint"] = hint
    return wire


def from_wire(wire: dict[str, str]) -> WherryError:
    """The failure that `to_wire` described; an unknown kind becomes a plain WherryError."""
    kind = _BY_NAME.get(wire.get("kind", ""), WherryError)
    return kind(wire.get("message", "unknown error"), hint=wire.get("hint"))
