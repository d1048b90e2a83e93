"""JSON for programs that must start quickly: the C parser of the standard library without `re`.

`import json` loads `re` and `enum` (5 ms).  These two functions use the same C scanner and
encoder through `_json`, with the standard behaviour: NaN is refused both ways and keys must be
strings.  Duplicate keys: the last one wins, as in Go.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Context:
    """What the C scanner asks of the decoder that owns it."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name: str) -> float:
        raise ValueError(f"invalid JSON: {name} is not a JSON number")


def _refuse(value: object) -> object:
    raise TypeError(f"cannot write a {type(value).__name__} as JSON")


_scan = _json.make_scanner(_Context)  # type: ignore[arg-type]
_BLANK = " \t\n\r"


def loads(document: str | bytes | bytearray | memoryview) -> Any:
    """The value of a JSON document.

    Raises:
        ValueError: not JSON, not UTF-8, or something after the value.
    """
    text = document if isinstance(document, str) else bytes(document).decode("utf-8")
    start = len(text) - len(text.lstrip(_BLANK))
    try:
        value, end = _scan(text, start)
    except StopIteration as stop:
        raise ValueError(f"invalid JSON: expected a value at character {stop.value}") from None
    except SystemError:
        # The C scanner reports most faults through json.decoder, and fails so where that is not loaded.
        raise ValueError("invalid JSON: malformed or cut short") from None
    except RecursionError:
        raise ValueError("invalid JSON: nested too deeply") from None
    if text[end:].strip(_BLANK):
        raise ValueError(f"invalid JSON: unexpected text after the value at character {end}")
    return value


def dumps(value: object, *, indent: str | None = None) -> str:
    """`value` as JSON on one line, or indented as Go's MarshalIndent does.

    Raises:
        TypeError: a value that JSON does not have.
        ValueError: NaN, infinity, or a cycle.
    """
    if indent is None:
        return "".join(_encode(value, 0))
    return "".join(_indented(value, "\n", indent))


_encode = _json.make_encoder(None, _refuse, _json.encode_basestring, None, ":", ",", False, False, False)


def _indented(value: object, newline: str, indent: str) -> list[str]:
    if isinstance(value, dict) and value:
        deeper = newline + indent
        parts: list[str] = []
        for key, item in value.items():
            parts += ["," if parts else "{", deeper, _json.encode_basestring(str(key)), ": "]
            parts += _indented(item, deeper, indent)
        return [*parts, newline, "}"]
    if isinstance(value, (list, tuple)) and value:
        deeper = newline + indent
        parts = []
        for item in value:
            parts += ["," if parts else "[", deeper, *_indented(item, deeper, indent)]
        return [*parts, newline, "]"]
    return [*_encode(value, 0)]
