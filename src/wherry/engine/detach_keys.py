"""Detach keys such as `ctrl-p,ctrl-q`: the bytes that end an attach and not the container."""

from __future__ import annotations

from wherry.errors import InvalidArgument

DEFAULT = b"\x10\x11"  # ctrl-p, ctrl-q
_CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


def parse_detach_keys(text: str | None) -> bytes:
    """The bytes of `text`; nothing means the default.

    Raises:
        InvalidArgument: not a list of single characters and `ctrl-` keys.
    """
    return b"".join(_key(part, text) for part in text.split(",")) if text else DEFAULT


def _key(part: str, text: str) -> bytes:
    if len(part) == 1 and part.isascii():
        return part.encode()
    control = part.lower().removeprefix("ctrl-")
    if part.lower().startswith("ctrl-") and len(control) == 1 and control in _CONTROL:
        return bytes([_CONTROL.index(control)])
    raise InvalidArgument(f"Invalid detach keys ({text}) provided")
