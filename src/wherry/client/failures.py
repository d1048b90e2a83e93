"""What goes wrong between the client and the daemon, with the texts of Docker's client."""

from __future__ import annotations

from wherry.errors import (
    AlreadyExists,
    Conflict,
    InvalidArgument,
    NotFound,
    NotModified,
    PermissionDenied,
    Unavailable,
    WherryError,
)


class ErrorResponse(WherryError):
    """The daemon answered with an error; `text` is its own message, without our prefix."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"Error response from daemon: {text}")
        self.status = status
        self.text = text


class BadRequestResponse(ErrorResponse, InvalidArgument):
    """400"""


class ForbiddenResponse(ErrorResponse, PermissionDenied):
    """403"""


class NotFoundResponse(ErrorResponse, NotFound):
    """404"""


class ConflictResponse(ErrorResponse, Conflict):
    """409"""


class NotModifiedResponse(ErrorResponse, NotModified):
    """304"""


class UnavailableResponse(ErrorResponse, Unavailable):
    """503"""


_RESPONSES: dict[int, type[ErrorResponse]] = {
    304: NotModifiedResponse,
    400: BadRequestResponse,
    403: ForbiddenResponse,
    404: NotFoundResponse,
    409: ConflictResponse,
    503: UnavailableResponse,
}


def error_response(status: int, text: str) -> ErrorResponse:
    """The failure for an answer of `status` with the message `text`."""
    return _RESPONSES.get(status, ErrorResponse)(status, text)


class ConnectionFailed(Unavailable):
    """No connection to the daemon; `code` is the errno, 0 where there is none."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class ProtocolError(Unavailable):
    """The peer does not speak HTTP as we understand it, or stopped in the middle."""


class InvalidEndpoint(InvalidArgument):
    """A host, a context or a configuration that names no usable endpoint."""


class ContextExists(AlreadyExists):
    """A context of that name is in the store."""
