r"""From bytes to the inside of a JSON string, whole chunks at a time and never a step for each byte.

Escapes are Go's: `\"`, `\\`, `\n`, `\r`, and `\u00xx` for the other control characters and for
the three that HTML reads; U+2028 and U+2029 as `\u2028` and `\u2029`; `\ufffd` for each byte
that is not UTF-8.  Output that is no text at all gets a plain U+FFFD for each broken sequence
and JSON's own short escapes: nobody reads it, and it is written more than twice as fast.
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
_HTML = tuple(_ESCAPES[code] for code in b"<>&")
_SEPARATORS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))

_SPARSE = 64
"""Bytes to a special one; below it one pass over the text is cheaper than a replacement for each kind."""
_BINARY_BYTES, _BINARY = 4096, 16
"""Output of that many bytes, with a broken sequence in as many or fewer, is no text."""
# What the C encoder of JSON would write otherwise than Go: put out of its sight, and back afterwards.
_APART: tuple[tuple[str, str], ...] = (("\n", "\n"), ("\t", "\\u0009"), ("\b", "\\u0008"), ("\f", "\\u000c"))
_BEYOND_ASCII = "\x80\x81\x82\x83"  # keeps ASCII text at one byte a character
_BEYOND_UTF_8 = "\ud800\ud801\ud802\ud803"  # no text decoded from UTF-8 holds a lone surrogate of these
_NONCHARACTERS = "\uffff\ufffe" + "".join(map(chr, range(0xFDD0, 0xFDF0)))


def escape_lines(text: bytes) -> bytes:
    """`text` with everything escaped but its newlines."""
    special = text.translate(None, _PLAIN)  # in C: tells at once whether there is anything to do
    if len(special) * _SPARSE > len(text) or not _is_utf_8(text):
        return _escape_mixed(text)
    kinds = set(special)
    for code, (plain, escaped) in _ESCAPES.items():
        if code in kinds:
            text = text.replace(plain, escaped)
    return text if text.isascii() else _replace_all(text, _SEPARATORS)


def _is_utf_8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _escape_mixed(text: bytes) -> bytes:
    """The same by the C encoder of JSON over the whole text."""
    ascii_only = text.isascii()
    string = text.decode("utf-8", "replace")
    broken = 0 if ascii_only else string.count("\ufffd")
    apart = _APART
    if len(text) > _BINARY_BYTES and broken * _BINARY > len(text):
        apart = _APART[:1]
    elif broken:
        string = text.decode("utf-8", "surrogateescape")
    stand_ins = (_BEYOND_ASCII if ascii_only else _BEYOND_UTF_8)[: len(apart)]
    for (plain, _), stand_in in zip(apart, stand_ins, strict=True):
        string = string.replace(plain, stand_in)
    string = encode_basestring(string)[1:-1]
    for (_, written), stand_in in zip(apart, stand_ins, strict=True):
        string = string.replace(stand_in, written)
    return _replace_all(_encode(string), _HTML if ascii_only else _HTML + _SEPARATORS)


def _encode(string: str) -> bytes:
    """`string` as UTF-8; a surrogate, which stands for a byte that was none, as an escaped U+FFFD."""
    try:
        return string.encode("utf-8")
    except UnicodeEncodeError:
        pass
    # The encoder can only put a question mark in their place, so the real ones step aside meanwhile.
    aside = next((character for character in _NONCHARACTERS if character not in string), "?")
    encoded = string.replace("?", aside).encode("utf-8", "replace")
    return encoded.replace(b"?", b"\\ufffd").replace(aside.encode("utf-8"), b"?")


def _replace_all(text: bytes, pairs: tuple[tuple[bytes, bytes], ...]) -> bytes:
    for plain, escaped in pairs:
        if plain in text:
            text = text.replace(plain, escaped)
    return text


def format_time(time_ns: int) -> str:
    """RFC 3339 in UTC with the fraction's trailing zeros cut, as Go's RFC3339Nano."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z" if fraction else f"{text}Z"
