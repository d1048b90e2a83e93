"""Strict, bounded JSON for documents that others wrote.

A document that two readers could read differently is refused: duplicate keys, NaN, lone
surrogates and text after the value are errors (R17), and size and depth are bounded (R16).
The C scanner is used without the `json` package, which costs a third of a program's start.
"""

from __future__ import annotations

import _json

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DOCUMENT_LIMIT_BYTES = 4 << 20
"""What a manifest, an index or an image config may weigh, as in containerd and the registries."""
DEPTH_LIMIT = 32
_BLANK = " \t\n\r"


class InvalidDocument(InvalidArgument):
    """A manifest, index or config that is malformed, ambiguous or too large."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


class _Context:
    """What the C scanner asks of the decoder that owns it."""

    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_object)
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name: str) -> float:
        raise ValueError(f"{name} is not a JSON number")


_scan = _json.make_scanner(_Context())  # type: ignore[arg-type]


def parse_object(data: bytes, what: str, *, limit_bytes: int = DOCUMENT_LIMIT_BYTES) -> dict[str, Any]:
    """The JSON object in `data`; `what` names it in errors.

    Raises:
        InvalidDocument: larger than `limit_bytes`, not an object, ambiguous or too deep.
    """
    value = parse_value(data, what, limit_bytes=limit_bytes)
    if not isinstance(value, dict):
        raise InvalidDocument(f"invalid {what}: expected an object, found {kind_of(value)}")
    return value


def parse_value(data: bytes, what: str, *, limit_bytes: int = DOCUMENT_LIMIT_BYTES) -> Any:
    """The JSON value in `data`, of any type; otherwise as `parse_object`."""
    if len(data) > limit_bytes:
        raise InvalidDocument(f"invalid {what}: {len(data)} bytes, more than {limit_bytes}")
    try:
        text = data.decode("utf-8")
        start = len(text) - len(text.lstrip(_BLANK))
        value, end = _scan(text, start)
    except StopIteration as stop:
        raise InvalidDocument(f"invalid {what}: expected a value at character {stop.value}") from None
    except UnicodeDecodeError as error:
        raise InvalidDocument(f"invalid {what}: not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise InvalidDocument(f"invalid {what}: nested more than {DEPTH_LIMIT} deep") from None
    except ValueError as error:
        raise InvalidDocument(f"invalid {what}: {error}") from None
    except SystemError:
        # How the C scanner reports most faults where json.decoder is not loaded.
        raise InvalidDocument(f"invalid {what}: malformed or cut short") from None
    if text[end:].strip(_BLANK):
        raise InvalidDocument(f"invalid {what}: unexpected text after the value at character {end}")
    _check(value, what, surrogates="\\u" in text)
    return value


def _check(value: Any, what: str, *, surrogates: bool) -> None:
    """Refuse what is too deep, and text that cannot be written as UTF-8 again."""
    level = [value]
    for _ in range(DEPTH_LIMIT):
        if surrogates and not all(_is_writable(item) for item in level):
            raise InvalidDocument(f"invalid {what}: a string holds half a surrogate pair")
        level = [inner for item in level if isinstance(item, (dict, list)) for inner in _inside(item)]
        if not level:
            return
    raise InvalidDocument(f"invalid {what}: nested more than {DEPTH_LIMIT} deep")


def _inside(item: dict[str, Any] | list[Any]) -> list[Any]:
    return [*item, *item.values()] if isinstance(item, dict) else item


def _is_writable(item: object) -> bool:
    if not isinstance(item, str) or item.isascii():
        return True
    try:
        item.encode()
    except UnicodeEncodeError:
        return False
    return True


def kind_of(value: object) -> str:
    """The JSON name of `value`'s type, for errors."""
    return _NAMES.get(type(value), "a value")


_NAMES = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def text_field(document: dict[str, Any], key: str, what: str, *, default: str | None = None) -> str:
    """The string at `key`; `default` where it is absent or null.

    Raises:
        InvalidDocument: not a string, or absent without a default.
    """
    value = document.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise InvalidDocument(f"invalid {what}: {key}: expected a string, found {kind_of(value)}")
    return value


def list_field(document: dict[str, Any], key: str, what: str, *, limit: int) -> list[Any]:
    """The array at `key`, empty where it is absent or null, of at most `limit` items."""
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidDocument(f"invalid {what}: {key}: expected an array, found {kind_of(value)}")
    if len(value) > limit:
        raise InvalidDocument(f"invalid {what}: {key}: {len(value)} items, more than {limit}")
    return value


def object_field(document: dict[str, Any], key: str, what: str) -> dict[str, Any]:
    """The object at `key`, empty where it is absent or null."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidDocument(f"invalid {what}: {key}: expected an object, found {kind_of(value)}")
    return value


def text_map_field(document: dict[str, Any], key: str, what: str) -> dict[str, str]:
    """The object of strings at `key`, empty where it is absent or null."""
    value = object_field(document, key, what)
    for name, text in value.items():
        if not isinstance(text, str):
            raise InvalidDocument(f"invalid {what}: {key}.{name}: expected a string, found {kind_of(text)}")
    return value


def refuse_case_variants(document: dict[str, Any], known: frozenset[str], what: str) -> None:
    """Refuse keys that Go's case-insensitive JSON would take for one of `known`.

    Otherwise `Manifests` beside `layers` is an index to one reader and a manifest to another.
    """
    folded = {name.lower() for name in known}
    for key in document:
        if key not in known and key.lower() in folded:
            raise InvalidDocument(f"invalid {what}: key {key!r} differs from a known one only in case")
