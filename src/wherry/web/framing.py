"""The strictness that h11 leaves to its user.

h11 accepts what RFC 9112 lets a recipient repair: a bare line feed, a folded field, a length beside a
transfer coding, the same length twice.  A proxy that repairs it otherwise sees another request.  None of
our clients send any of it, so it is refused.

Spec: RFC 9112 sections 2.2, 5.2, 6.1, 6.3; RFC 9110 section 8.6.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from wherry.web.messages import BadRequest

HTTP2_FRAME_BYTES = 16_384  # the largest frame we allow: the protocol's default
_FRAME_HEAD_BYTES = 9
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_OF_HEAD = b"\r\n\r\n"
REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*[0-9]+[ \t]*\r\n")


def check_head(head: bytes) -> None:
    """Refuse a request head that two parsers could read in two ways.

    `head` ends with its empty line.

    Raises:
        BadRequest: saying what was wrong.
    """
    if head.count(b"\n") != head.count(b"\r\n") or head.count(b"\r") != head.count(b"\r\n"):
        raise BadRequest("a line of the head does not end in CR LF")
    if b"\0" in head:
        raise BadRequest("the head holds a NUL")
    if b"\r\n " in head or b"\r\n\t" in head:
        raise BadRequest("a header field is folded")
    lower = head.lower()
    lengths = lower.count(b"\r\ncontent-length:")
    codings = lower.count(b"\r\ntransfer-encoding:")
    if lengths > 1 or codings > 1:
        raise BadRequest("the length of the body is given more than once")
    if lengths and codings:
        raise BadRequest("the request has both a Content-Length and a Transfer-Encoding")
    if lengths and not _LENGTH.search(lower):
        raise BadRequest("the Content-Length is not a number")
    if codings and b" http/1.0\r\n" in lower[: lower.index(b"\r\n") + 2]:
        raise BadRequest("a Transfer-Encoding needs HTTP/1.1")


def refusal(error: BadRequest) -> bytes:
    """The answer, in words, to a request that cannot be read; the connection ends with it."""
    reason = REASONS.get(error.status, b"")
    text = b"%d %s: %s" % (error.status, reason, str(error).encode())
    return (
        b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n" % (error.status, reason, len(text))
    ) + text


class FrameGuard:
    """Looks at the length of every HTTP/2 frame before it is there: h2 collects a whole frame, and only then
    finds it too large.
    """

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = len(HTTP2_PREFACE)

    def check(self, data: bytes) -> None:
        """Go over the next bytes of the connection.

        Raises:
            BadRequest: a frame is larger than allowed.
        """
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            part = data[at : at + _FRAME_HEAD_BYTES - len(self._head)]
            self._head += part
            at += len(part)
            if len(self._head) == _FRAME_HEAD_BYTES:
                self._left = int.from_bytes(self._head[:3], "big")
                self._head = b""
                if self._left > HTTP2_FRAME_BYTES:
                    raise BadRequest(f"frame of {self._left} bytes")
