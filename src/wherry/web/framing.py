"""The strictness that h11 leaves to its user.

h11 accepts what RFC 9112 lets a recipient repair: a bare line feed, a folded field, a length beside a
transfer coding, the same length twice.  A proxy that repairs it otherwise sees another request.  None of
our clients send any of it, so it is refused.

Spec: RFC 9112 sections 2.2, 5.2, 6.1, 6.3; RFC 9110 section 8.6.
"""

from __future__ import annotations

import re

from wherry.web.messages import BadRequest

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_OF_HEAD = b"\r\n\r\n"
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
