r"""From bytes to the inside of a JSON string, whole chunks at a time.

Escapes are Go's: `\"`, `\\`, `\n`, `\r`, and `\u00xx` for the other control characters and for
the three that HTML reads; U+2028 and U+2029 as `\u2028` and `\u2029`.
"""

from __future__ import annotations

import time
from _codecs import register_error

_SHORT = {0x5C: b"\\\\", 0x22: b'\\"', 0x0D: b"\\r", 0x0A: b"\\n"}
_SPECIAL = bytes([*range(0x20), *b'"\\<>&'])
_ESCAPES = {
    code: (bytes([code]), _SHORT.get(code, b"\\u%04x" % code))
    for code in (0x5C, *(c for c in _SPECIAL if c != 0x5C))  # the backslash first: the others add some
}
_PLAIN = bytes(code for code in range(256) if code not in _SPECIAL or code == 0x0A)
_SEPARATORS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def escape_lines(text: bytes) -> bytes:
    """`text` with everything escaped but its newlines."""
    special = text.translate(None, _PLAIN)  # in C: tells at once whether there is anything to do
    if special:
        found = set(special)
        for code, (plain, escaped) in _ESCAPES.items():
            if code in found:
                text = text.replace(plain, escaped)
    return text if text.isascii() else _valid(text)


def _valid(text: bytes) -> bytes:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        text = text.decode("utf-8", "wherry-escaped-replacement").encode("utf-8")
    for plain, escaped in _SEPARATORS:
        if plain in text:
            text = text.replace(plain, escaped)
    return text


def _replace(error: UnicodeError) -> tuple[str, int]:
    # One replacement for each byte, as in Go; already escaped, since escaping is done.
    assert isinstance(error, UnicodeDecodeError)
    return "\\ufffd" * (error.end - error.start), error.end


register_error("wherry-escaped-replacement", _replace)


def format_time(time_ns: int) -> str:
    """RFC 3339 in UTC with the fraction's trailing zeros cut, as Go's RFC3339Nano."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z" if fraction else f"{text}Z"
