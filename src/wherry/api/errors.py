"""The one table from kinds of failure to HTTP statuses, read in both directions.

The daemon turns a raised kind into a status; the client turns a status back into the kind.
"""

from __future__ import annotations

from wherry import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS: Mapping[type[BaseException], int] = {
    errors.NotModified: 304,
    errors.InvalidArgument: 400,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Conflict: 409,
    errors.DataLoss: 500,
    errors.Unsupported: 501,
    errors.ResourceExhausted: 503,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
}  # every kind by name: a test compares this table with errors.KINDS

_KINDS: Mapping[int, type[errors.WherryError]] = {
    304: errors.NotModified,
    400: errors.InvalidArgument,
    401: errors.Unauthenticated,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    409: errors.Conflict,
    501: errors.Unsupported,
    503: errors.Unavailable,
    504: errors.DeadlineExceeded,
}


def status_of(error: BaseException) -> int:
    """The HTTP status of `error`: the nearest kind among its ancestors decides, else 500."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def from_status(status: int, message: str) -> errors.WherryError:
    """The failure a client raises for an answer of `status`; a plain WherryError for 500 and the unknown."""
    return _KINDS.get(status, errors.WherryError)(message)
