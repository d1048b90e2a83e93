"""`WWW-Authenticate`: what a registry asks for.

    challenges = challenge *("," challenge)      challenge = scheme [1*SP param *("," param)]
    param      = name "=" (token | quoted)       quoted    = '"' *(char | "\\" char) '"'

Spec: RFC 9110, 11.6.1.
"""

from __future__ import annotations

import msgspec

_HEADER_LIMIT = 16 << 10
_PARAMETER_LIMIT = 32
_TOKEN = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"  # RFC 9110 tchar
)


class Challenge(msgspec.Struct, frozen=True):
    """One authentication scheme on offer, with its parameters; names are lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges in `header`, as far as it is well formed; never fails."""
    if len(header) > _HEADER_LIMIT:
        return []
    found: list[Challenge] = []
    at = 0
    while at < len(header):
        at = _skip(header, at, " \t,")
        word, at = _token(header, at)
        if not word:
            break
        after = _skip(header, at, " \t")
        if header[after : after + 1] == "=" and found:
            value, at = _value(header, _skip(header, after + 1, " \t"))
            if len(found[-1].parameters) < _PARAMETER_LIMIT:
                found[-1].parameters.setdefault(word.lower(), value)  # the first of two is meant
        elif len(found) < _PARAMETER_LIMIT:
            found.append(Challenge(word.lower(), {}))
        else:
            break
    return found


def _skip(text: str, at: int, blanks: str) -> int:
    while at < len(text) and text[at] in blanks:
        at += 1
    return at


def _token(text: str, at: int) -> tuple[str, int]:
    start = at
    while at < len(text) and text[at] in _TOKEN:
        at += 1
    return text[start:at], at


def _value(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] != '"':
        start = at
        while at < len(text) and text[at] not in ", \t":
            at += 1
        return text[start:at], at
    parts: list[str] = []
    at += 1
    while at < len(text) and text[at] != '"':
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        parts.append(text[at])
        at += 1
    return "".join(parts), at + 1
