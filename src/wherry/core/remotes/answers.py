"""Answers of registries: bounded reading, and what their refusals mean.

    {"errors": [{"code": "NAME_UNKNOWN", "message": "...", "detail": ...}]}

Spec: distribution-spec, Error Codes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wherry.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unsupported,
    WherryError,
)
from wherry.oci.documents import InvalidDocument, parse_object

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

ERROR_LIMIT_BYTES = 64 << 10
DOCUMENT_DEADLINE_S = 120.0
_CHUNK = 64 << 10
_TEXT_LIMIT = 1000

_KINDS: dict[str, type[WherryError]] = {
    "BLOB_UNKNOWN": NotFound,
    "BLOB_UPLOAD_INVALID": InvalidArgument,
    "BLOB_UPLOAD_UNKNOWN": NotFound,
    "DENIED": PermissionDenied,
    "DIGEST_INVALID": InvalidArgument,
    "MANIFEST_BLOB_UNKNOWN": NotFound,
    "MANIFEST_INVALID": InvalidArgument,
    "MANIFEST_UNKNOWN": NotFound,
    "NAME_INVALID": InvalidArgument,
    "NAME_UNKNOWN": NotFound,
    "SIZE_INVALID": InvalidArgument,
    "TOOMANYREQUESTS": ResourceExhausted,
    "UNAUTHORIZED": Unauthenticated,
    "UNAVAILABLE": Unavailable,
    "UNSUPPORTED": Unsupported,
}
_STATUSES: dict[int, type[WherryError]] = {
    400: InvalidArgument,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    405: Unsupported,
    429: ResourceExhausted,
}


def read_limited(response: BaseHTTPResponse, what: str, *, limit_bytes: int) -> bytes:
    """The whole body, and the connection back in its pool.

    Raises:
        InvalidArgument: longer than `limit_bytes`.
        DeadlineExceeded: it trickles.
        Unavailable: it broke off.
    """
    from urllib3.exceptions import HTTPError

    declared = response.headers.get("Content-Length", "")
    if declared.isdigit() and len(declared) < 20 and int(declared) > limit_bytes:
        response.close()
        raise InvalidDocument(f"invalid {what}: {declared} bytes, more than {limit_bytes}")
    deadline = time.monotonic() + DOCUMENT_DEADLINE_S
    body = bytearray()
    try:
        while chunk := response.read(_CHUNK):
            body += chunk
            if len(body) > limit_bytes:
                raise InvalidDocument(f"invalid {what}: more than {limit_bytes} bytes")
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"{what}: not received within {DOCUMENT_DEADLINE_S:.0f} seconds")
    except (HTTPError, OSError) as error:
        response.close()
        raise Unavailable(f"{what}: connection broke: {type(error).__name__}") from None
    except WherryError:
        response.close()
        raise
    response.release_conn()
    return bytes(body)


def read_document(response: BaseHTTPResponse, what: str, *, limit_bytes: int) -> dict[str, Any]:
    """The JSON object in a successful answer; the refusal of any other is raised."""
    if response.status != 200:
        raise refusal(response)
    return parse_object(read_limited(response, what, limit_bytes=limit_bytes), what, limit_bytes=limit_bytes)


def refusal(response: BaseHTTPResponse) -> WherryError:
    """The failure that an unsuccessful answer means; its body is read and the connection released."""
    try:
        body = read_limited(response, "error", limit_bytes=ERROR_LIMIT_BYTES)
        code, message = _first_error(parse_object(body, "error"))
    except WherryError:
        code, message = "", ""
    kind = _KINDS.get(code) or _STATUSES.get(response.status) or Unavailable
    if response.status == 429 or code == "TOOMANYREQUESTS":
        return ResourceExhausted(f"toomanyrequests: {message or 'the registry limits the rate of requests'}")
    if message:
        return kind(f"error from registry: {message}")
    return kind(f"unexpected status from the registry: {response.status} {_printable(response.reason or '')}")


def discard(response: BaseHTTPResponse) -> None:
    """Be done with an answer: keep its connection if the rest is known to be short, else end it."""
    declared = response.headers.get("Content-Length", "")
    if declared.isdigit() and len(declared) < 6:
        response.drain_conn()
        response.release_conn()
    else:
        response.close()  # draining an endless body would never end


def _first_error(document: dict[str, Any]) -> tuple[str, str]:
    """Code and text (`MESSAGE[ - DETAIL]`) of the first error, or of the older plain form."""
    errors = document.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    code, message, detail = first.get("code"), first.get("message"), first.get("detail")
    if not isinstance(message, str) or not message:
        message = code if isinstance(code, str) else ""
    if not message:
        plain = document.get("details") or document.get("message") or document.get("error")
        message = plain if isinstance(plain, str) else ""
    if isinstance(detail, str) and detail:
        message = f"{message} - {detail}"
    return code if isinstance(code, str) else "", _printable(message)


def _printable(text: str) -> str:
    """`text` of a peer, cut and without what could reach the reader's terminal."""
    return "".join(char if char.isprintable() else "?" for char in text[:_TEXT_LIMIT])


def retry_after_s(response: BaseHTTPResponse) -> float | None:
    """What Retry-After asks for, in seconds, or None."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit() and len(value) < 10:
        return float(value)
    if not value:
        return None
    from email.utils import parsedate_to_datetime  # only for the rare date

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
