"""The functions of templates: text/template's own, and those Docker's CLI adds.

A function raises `Failure` for what Go would return as an error.
"""

from __future__ import annotations

from wherry.cli.gotemplate.failures import Failure
from wherry.cli.gotemplate.printf import sprint, sprintf, sprintln, type_name
from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[..., object]


def is_true(value: object) -> bool:
    """Go's truth: the zero value of any type is false."""
    if isinstance(value, (dict, list, tuple, str, int, float)):
        return bool(value)
    return value is not None


# Comparison


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "string"
    return "nil" if value is None else ""


def _equal_pair(first: object, second: object) -> bool:
    kinds = _kind(first), _kind(second)
    if "nil" in kinds:
        return first is None and second is None
    if not kinds[0] or not kinds[1]:
        if type(first) is type(second):
            raise Failure(f"non-comparable type {type_name(first)}: {sprint(first)}")
        raise Failure("incompatible types for comparison")
    if kinds[0] != kinds[1]:
        raise Failure("incompatible types for comparison")
    return first == second


def equal(first: object, *others: object) -> bool:
    """eq: whether the first equals any of the others."""
    if not others:
        raise Failure("missing argument for comparison")
    return any(_equal_pair(first, other) for other in others)


def not_equal(first: object, second: object) -> bool:
    """ne"""
    return not _equal_pair(first, second)


def less(first: object, second: object) -> bool:
    """lt"""
    kinds = _kind(first), _kind(second)
    if kinds[0] in ("", "bool", "nil"):
        raise Failure("invalid type for comparison")
    if kinds[0] != kinds[1]:
        raise Failure("incompatible types for comparison")
    return bool(first < second)  # type: ignore[operator]


def less_or_equal(first: object, second: object) -> bool:
    """le"""
    return less(first, second) or _equal_pair(first, second)


def greater(first: object, second: object) -> bool:
    """gt"""
    return not less_or_equal(first, second)


def greater_or_equal(first: object, second: object) -> bool:
    """ge"""
    return not less(first, second)


# Collections


def length(value: object) -> int:
    """len: bytes of a string, items of a list or map."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, (list, tuple, dict)):
        return len(value)
    if value is None:
        raise Failure("len of nil pointer")
    raise Failure(f"len of type {type_name(value)}")


def index(value: object, *keys: object) -> object:
    """index x 1 2: x[1][2].  A missing key of a map gives the zero value."""
    for key in keys:
        if value is None:
            raise Failure("index of untyped nil")
        if isinstance(value, dict):
            if not isinstance(key, str):
                raise Failure(f"value has type {type_name(key)}; should be string")
            value = value.get(key)
        elif isinstance(value, (list, tuple, str)):
            value = _item(value, key)
        else:
            raise Failure(f"can't index item of type {type_name(value)}")
    return value


def _position(key: object, limit: int, *, inclusive: bool = False) -> int:
    if not isinstance(key, int) or isinstance(key, bool):
        if key is None:
            raise Failure("cannot index slice/array with nil")
        raise Failure(f"cannot index slice/array with type {type_name(key)}")
    if key < 0 or key >= limit + inclusive:
        raise Failure(f"index out of range: {key}")
    return key


def _item(value: list[object] | tuple[object, ...] | str, key: object) -> object:
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogateescape")
        return data[_position(key, len(data))]
    return value[_position(key, len(value))]


def cut(value: object, *bounds: object) -> object:
    """slice x 1 3: x[1:3]."""
    if value is None:
        raise Failure("slice of untyped nil")
    if len(bounds) > 3:
        raise Failure(f"too many slice indexes: {len(bounds)}")
    if not isinstance(value, (str, list, tuple)):
        raise Failure(f"can't slice item of type {type_name(value)}")
    if isinstance(value, str) and len(bounds) == 3:
        raise Failure("cannot 3-index slice a string")
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    places = [_position(bound, len(data), inclusive=True) for bound in bounds]
    start = places[0] if places else 0
    end = places[1] if len(places) > 1 else len(data)
    if start > end:
        raise Failure(f"invalid slice index: {start} > {end}")
    part = data[start:end]
    return part.decode("utf-8", "surrogateescape") if isinstance(part, bytes) else part


# Escapes

_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "\0": "\ufffd"}
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def html(*values: object) -> str:
    return "".join(_HTML.get(c, c) for c in sprint(*values))


def javascript(*values: object) -> str:
    return "".join(_JS.get(c) or (f"\\u{ord(c):04X}" if c < " " else c) for c in sprint(*values))


def urlquery(*values: object) -> str:
    from wherry.client.http import quote

    return quote(sprint(*values), " ").replace(" ", "+")


# Docker's


def to_json(value: object) -> object:
    """json: one line, members in the order the daemon sent them, without HTML escapes."""
    as_json = getattr(value, "as_json", None)
    return json.dumps(value) if as_json is None else as_json()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Failure(f"wrong type for value; expected string; got {type_name(value)}")
    return value


def join(values: object, separator: str = "") -> str:
    if not isinstance(values, (list, tuple)):
        if values is None:
            return ""
        raise Failure(f"wrong type for value; expected []string; got {type_name(values)}")
    return _text(separator).join(_text(value) for value in values)


def split(text: str, separator: str) -> list[str]:
    text, separator = _text(text), _text(separator)
    return text.split(separator) if separator else list(text)


def title(text: str) -> str:
    """strings.Title: the first letter of each word in upper case, the others as they are."""
    out, fresh = [], True
    for c in _text(text):
        out.append(c.upper() if fresh else c)
        fresh = not (c.isalnum() or c in "_'")
    return "".join(out)


def pad(text: str, before: int, after: int) -> str:
    """Blanks around a text that is not empty."""
    text = _text(text)
    return " " * before + text + " " * after if text else text


def truncate(text: str, limit: int) -> str:
    text = _text(text)
    return text if len(text) < limit else text[:limit]


def printf(form: str, *values: object) -> str:
    return sprintf(_text(form), *values)


def call(*_values: object) -> object:
    raise Failure("call of non-function")


def negate(value: object) -> bool:
    """not"""
    return not is_true(value)


FUNCTIONS: dict[str, Function] = {
    "call": call,
    "eq": equal,
    "ge": greater_or_equal,
    "gt": greater,
    "html": html,
    "index": index,
    "join": join,
    "js": javascript,
    "json": to_json,
    "le": less_or_equal,
    "len": length,
    "lower": lambda text: _text(text).lower(),
    "lt": less,
    "ne": not_equal,
    "not": negate,
    "pad": pad,
    "print": sprint,
    "printf": printf,
    "println": sprintln,
    "slice": cut,
    "split": split,
    "title": title,
    "truncate": truncate,
    "upper": lambda text: _text(text).upper(),
    "urlquery": urlquery,
}

# In the header of a table these pass the column's title through.
HEADER_FUNCTIONS: dict[str, Function] = {
    **FUNCTIONS,
    "json": lambda value: value,
    "title": lambda value: value,
    "lower": lambda value: value,
    "upper": lambda value: value,
    "truncate": lambda value, _limit: value,
    "println": lambda value: value,
    "split": lambda value, _separator: value,
    "join": lambda value, _separator: value,
}
SHORT_CIRCUIT = ("and", "or")
NAMES = frozenset((*FUNCTIONS, *SHORT_CIRCUIT))
