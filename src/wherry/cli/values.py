"""Values in text form, as Go's strconv, go-units and time.ParseDuration read them."""

from __future__ import annotations

from wherry.cli.flags import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DIGITS = frozenset("0123456789")
_BINARY = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def parse_integer(text: str, *, bits: int = 64, signed: bool = True) -> int:
    """strconv.ParseInt or ParseUint with base 0: 0x, 0o, 0b and the old leading zero.

    Raises:
        ValueError: in strconv's words.
    """
    function = "strconv.ParseInt" if signed else "strconv.ParseUint"
    digits = text
    if len(digits) > 1 and digits.lstrip("+-")[:1] == "0" and digits.lstrip("+-")[1:2] in _DIGITS:
        digits = digits.replace("0", "0o", 1)
    try:
        if not text or text != text.strip() or (not signed and text[0] in "+-"):
            raise ValueError
        number = int(digits, 0)
    except ValueError:
        raise ValueError(f"{function}: parsing {quoted(text)}: invalid syntax") from None
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= number <= high:
        raise ValueError(f"{function}: parsing {quoted(text)}: value out of range")
    return number


def parse_float(text: str) -> float:
    """strconv.ParseFloat.

    Raises:
        ValueError: in strconv's words.
    """
    try:
        if not text or text != text.strip():
            raise ValueError
        return float(text)
    except ValueError:
        raise ValueError(f"strconv.ParseFloat: parsing {quoted(text)}: invalid syntax") from None


def parse_bytes(text: str) -> int:
    """A size such as `512m`, `1.5GiB` or `64`; units are binary.

    Raises:
        ValueError: in go-units' words.
    """
    end = max((i for i, c in enumerate(text) if c in "0123456789. "), default=-1)
    if end < 0:
        raise ValueError(f"invalid size: '{text}'")
    number, suffix = (text[:end] if text[end] == " " else text[: end + 1]), text[end + 1 :].lower()
    size = parse_float(number)
    if size < 0:
        raise ValueError(f"invalid size: '{text}'")
    if not suffix or suffix == "b":
        return int(size)
    unit, rest = suffix[0], suffix[1:]
    if unit not in _BINARY or rest not in ("", "b", "ib"):
        raise ValueError(f"invalid suffix: '{suffix}'")
    return int(size * _BINARY[unit])


def parse_swap(text: str) -> int:
    """A size, or -1 for no limit."""
    return -1 if text == "-1" else parse_bytes(text)


def parse_cpus(text: str) -> int:
    """A count of CPUs, decimal or a fraction, in billionths.

    Raises:
        ValueError: no such number, or finer than a billionth.
    """
    unsigned = text.removeprefix("+").removeprefix("-")
    above, slash, below = unsigned.partition("/")
    whole, _, fraction = above.partition(".")
    digits = whole + fraction
    plain = (
        bool(digits) and _DIGITS.issuperset(digits) and (not slash or (below.isdecimal() and not fraction))
    )
    divisor = int(below) if slash and plain else 1
    if not plain or not divisor:
        raise ValueError(f"failed to parse {text} as a rational number")
    scale: int = 10 ** len(fraction) * divisor
    nano, rest = divmod(int(digits) * 1_000_000_000, scale)
    if rest:
        raise ValueError("value is too precise")
    return -nano if text.startswith("-") else nano


def parse_duration(text: str) -> int:
    """time.ParseDuration, in nanoseconds.

    Raises:
        ValueError: in its words.
    """
    rest = text
    sign = 1
    if rest[:1] in ("+", "-") and rest:
        sign = -1 if rest[0] == "-" else 1
        rest = rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f"time: invalid duration {quoted(text)}")
    total = 0
    while rest:
        number = rest[: _span(rest, "0123456789.")]
        rest = rest[len(number) :]
        whole, _, fraction = number.partition(".")
        if not (whole or fraction) or "." in fraction:
            raise ValueError(f"time: invalid duration {quoted(text)}")
        unit = rest[: next((i for i, c in enumerate(rest) if c == "." or c in _DIGITS), len(rest))]
        rest = rest[len(unit) :]
        if not unit:
            raise ValueError(f"time: missing unit in duration {quoted(text)}")
        if unit not in _NANOSECONDS:
            raise ValueError(f"time: unknown unit {quoted(unit)} in duration {quoted(text)}")
        scale = _NANOSECONDS[unit]
        total += int(whole or "0") * scale + int(fraction or "0") * scale // 10 ** len(fraction)
    if total > (1 << 63) - 1:
        raise ValueError(f"time: invalid duration {quoted(text)}")
    return sign * total


def parse_positive_duration(text: str) -> int:
    """A duration that is not negative.

    Raises:
        ValueError: negative, or no duration.
    """
    duration = parse_duration(text)
    if duration < 0:
        raise ValueError("duration cannot be negative")
    return duration


def parse_map_entry(text: str) -> tuple[str, str]:
    """`key=value`; the value may be missing."""
    key, _, value = text.partition("=")
    return key, value


def parse_filter(text: str) -> tuple[str, str]:
    """A filter `name=value`.

    Raises:
        ValueError: no equals sign.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("bad format of filter (expected name=value)")
    return name.strip().lower(), value.strip()


def parse_strings(text: str) -> list[str]:
    """One CSV record, as pflag's string slices are given."""
    from wherry.cli.csv import read_record

    return read_record(text) if text else []


def _span(text: str, characters: str) -> int:
    return next((i for i, c in enumerate(text) if c not in characters), len(text))


PARSERS: dict[str, Callable[[str], object]] = {
    "int": parse_integer,
    "uint": lambda text: parse_integer(text, signed=False),
    "uint16": lambda text: parse_integer(text, bits=16, signed=False),
    "bytes": parse_bytes,
    "swap": parse_swap,
    "duration": parse_duration,
    "decimal": parse_cpus,
    "map": parse_map_entry,
    "filter": parse_filter,
    "strings": parse_strings,
}
