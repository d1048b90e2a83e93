"""Go's literals: quoted and raw strings, characters, integers and floats."""

from __future__ import annotations

_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_HEX_LENGTH = {"x": 2, "u": 4, "U": 8}


class Rune(int):
    """A character constant: an integer that prints as one."""


def value_of(kind: str, text: str) -> object:
    """The value of a literal token.

    Raises:
        ValueError: malformed, in text/template's words.
    """
    if kind == "raw":
        return text[1:-1].replace("\r", "")
    if kind == "string":
        return unquote(text)
    if kind == "bool":
        return text == "true"
    if kind == "character":
        inner = unquote(text)
        if len(inner) != 1:
            raise ValueError(f"malformed character constant: {text}")
        return Rune(ord(inner))
    return _number(text)


def _number(text: str) -> int | float:
    digits = text.replace("_", "")
    body = digits.lstrip("+-")
    try:
        if len(body) > 1 and body[0] == "0" and body.isdecimal():
            return int(digits, 8)
        return int(digits, 0)
    except ValueError:
        pass
    try:
        if not (digits[-1:].isdigit() or digits.endswith(".")) or not any(c.isdigit() for c in digits):
            raise ValueError
        number = float.fromhex(digits) if "0x" in body.lower() else float(digits)
    except ValueError:
        raise ValueError(f'illegal number syntax: "{text}"') from None
    # A constant such as 1e3 is also an integer, as in Go.
    return int(number) if number.is_integer() and "." not in text and abs(number) < 1 << 53 else number


def unquote(text: str) -> str:
    """The value of a Go string or character literal, quotes included.

    Raises:
        ValueError: an escape that Go does not have.
    """
    quote, body = text[0], text[1:-1]
    if "\\" not in body:
        return body
    out = bytearray()
    position = 0
    while position < len(body):
        c = body[position]
        position += 1
        if c != "\\":
            out += c.encode("utf-8", "surrogateescape")
            continue
        escape = body[position]
        position += 1
        if escape in _SIMPLE or escape == quote:
            out += _SIMPLE.get(escape, escape).encode()
        elif escape in _HEX_LENGTH or escape in "01234567":
            size = _HEX_LENGTH.get(escape, 3)
            start = position if escape in _HEX_LENGTH else position - 1
            number = _escape_number(body[start : start + size], size, 16 if escape in _HEX_LENGTH else 8)
            position = start + size
            out += chr(number).encode("utf-8", "replace") if escape in "uU" else bytes([number])
        else:
            raise ValueError("invalid syntax")
    return out.decode("utf-8", "surrogateescape")


def _escape_number(digits: str, size: int, base: int) -> int:
    if len(digits) != size or not digits.isalnum():
        raise ValueError("invalid syntax")
    number = int(digits, base)
    if number > (0x10FFFF if size > 3 else 255):
        raise ValueError("invalid syntax")
    return number
