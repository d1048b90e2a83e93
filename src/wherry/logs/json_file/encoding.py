r"""From bytes to the inside of a JSON string, whole chunks at a time.

Escapes are Go's: `\"`, `\\`, `\n`, `\r`, and `\u00xx` for the other control characters and for
the three that HTML reads; U+2028 and U+2029 as `\u2028` and `\u2029`.  Binary output takes JSON's own
short forms for tab, backspace and form feed.
"""

from __future__ import annotations

import time
from _json import encode_basestring

_SHORT = {0x5C: b"\\\\", 0x22: b'\\"', 0x0D: b"\\r", 0x0A: b"\\n"}
_SPECIAL = bytes([*range(0x20), *b'"\\<>&'])
_ESCAPES = {
    code: (bytes([code]), _SHORT.get(code, b"\\u%04x" % code))
    for code in (0x5C, *(c for c in _SPECIAL if c != 0x5C))  # the backslash first: the others add some
}
_PLAIN = bytes(code for code in range(256) if code not in _SPECIAL or code == 0x0A)
_HTML = b"<>&"
_SEPARATORS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


_FEW = 4  # kinds of special bytes; beyond it one pass over the text is cheaper than a replacement for each
_NEWLINE = "\ud800"  # stands for a newline: no text decoded from UTF-8 holds it


def escape_lines(text: bytes) -> bytes:
    """`text` with everything escaped but its newlines; what is no UTF-8 becomes U+FFFD, as in Go."""
    special = set(text.translate(None, _PLAIN))  # in C: tells at once whether there is anything to do
    if len(special) > _FEW or not (text.isascii() or _is_utf8(text)):
        return _escape_mixed(text)
    for code, (plain, escaped) in _ESCAPES.items():
        if code in special:
            text = text.replace(plain, escaped)
    return text if text.isascii() else _escape_separators(text)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _escape_mixed(text: bytes) -> bytes:
    """The same for binary output: C over the whole text, never a step of ours for each byte.

    A byte that is no UTF-8 comes out of the decoder as a surrogate and of the encoder as a question mark, so
    the text's own question marks step aside as NUL, of which JSON's encoder leaves none.
    """
    lines = text.decode("utf-8", "surrogateescape").replace("\n", _NEWLINE)
    escaped = encode_basestring(lines)[1:-1].replace(_NEWLINE, "\n").replace("?", "\0")
    whole = escaped.encode("utf-8", "replace").replace(b"?", b"\\ufffd").replace(b"\0", b"?")
    for code in _HTML:
        whole = whole.replace(*_ESCAPES[code])
    return _escape_separators(whole)


def _escape_separators(text: bytes) -> bytes:
    for plain, escaped in _SEPARATORS:
        text = text.replace(plain, escaped)
    return text


def format_time(time_ns: int) -> str:
    """RFC 3339 in UTC with the fraction's trailing zeros cut, as Go's RFC3339Nano."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z" if fraction else f"{text}Z"
