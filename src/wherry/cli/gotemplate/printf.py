"""Go's fmt: verbs, flags, width and precision, and the texts for what does not fit.

Values are what JSON gives: None, bool, int, float, str, list, dict, and objects that know their
own Go text.  Spec: package fmt.
"""

from __future__ import annotations

from wherry.cli.gotemplate.literals import Rune

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def quote(text: str, *, mark: str = '"', ascii_only: bool = False) -> str:
    """strconv.Quote: a Go literal of `text`."""
    parts = [mark]
    for c in text:
        code = ord(c)
        if c in (mark, "\\"):
            parts.append("\\" + c)
        elif c in _ESCAPES:
            parts.append(_ESCAPES[c])
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8
            parts.append(f"\\x{code - 0xDC00:02x}")
        elif c == " " or (c.isprintable() and not (ascii_only and code > 126)):
            parts.append(c)
        elif code < 0x80:
            parts.append(f"\\x{code:02x}")
        else:
            parts.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    parts.append(mark)
    return "".join(parts)


def text_of(value: object, *, sharp: bool = False) -> str:
    """%v of a value."""
    if value is None:
        return "<nil>"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return quote(value) if sharp else value
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, int):
        return f"{int(value)}"
    if type(value) is dict:
        keys = sorted(value)
        inner = " ".join(f"{key}:{text_of(value[key])}" for key in keys)
        return f"map[{inner}]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(text_of(item) for item in value) + "]"
    return str(value)


def float_text(value: float) -> str:
    """strconv's shortest form with exponents from 21 digits on, as %v prints it."""
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else ("+Inf" if value > 0 else "-Inf")
    text = repr(value)
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        text = text.removesuffix(".0")
        digits = text.lstrip("-").replace(".", "").lstrip("0")
        if len(text.lstrip("-").partition(".")[0]) > 21 or (0 < abs(value) < 1e-4):
            mantissa, _, exponent = f"{value:.{max(len(digits) - 1, 0)}e}".partition("e")
        else:
            return text
    elif 0 < int(exponent) < 21:
        return f"{value:.0f}"
    sign, digits = exponent[0], exponent.lstrip("+-").lstrip("0") or "0"
    return f"{mantissa.removesuffix('.0')}e{sign if sign == '-' else '+'}{digits:>02}"


def type_name(value: object) -> str:
    """The Go type a value would have."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Rune):
        return "int32"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float64"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, (list, tuple)):
        return "[]interface {}"
    return str(getattr(value, "type_name", type(value).__name__))


class _Verb:
    """One `%…` of a format: its flags, width and precision."""

    __slots__ = ("flags", "precision", "width")

    def __init__(self) -> None:
        self.flags = ""
        self.width: int | None = None
        self.precision: int | None = None

    def pad(self, text: str, *, numeric: bool = False) -> str:
        if self.width is None or len(text) >= self.width:
            return text
        if "-" in self.flags:
            return text.ljust(self.width)
        if "0" in self.flags and numeric:
            sign = text[:1] if text[:1] in ("+", "-", " ") else ""
            return sign + text[len(sign) :].rjust(self.width - len(sign), "0")
        return text.rjust(self.width, "0" if "0" in self.flags else " ")


def sprintf(form: str, *values: object) -> str:
    """fmt.Sprintf."""
    out: list[str] = []
    used = 0
    position = 0
    while True:
        percent = form.find("%", position)
        if percent < 0:
            out.append(form[position:])
            break
        out.append(form[position:percent])
        verb = _Verb()
        position, used, error = _read_verb(form, percent + 1, values, used, verb)
        if error:
            out.append(error)
        if position >= len(form):
            out.append("%!(NOVERB)")
            break
        letter = form[position]
        position += 1
        if letter == "%":
            out.append("%")
        elif used >= len(values):
            out.append(f"%!{letter}(MISSING)")
        else:
            out.append(_format(verb, letter, values[used]))
            used += 1
    if used < len(values):
        extra = ", ".join(f"{type_name(v)}={text_of(v)}" if v is not None else "<nil>" for v in values[used:])
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


def _read_verb(
    form: str, position: int, values: tuple[object, ...], used: int, verb: _Verb
) -> tuple[int, int, str]:
    """Flags, width and precision from `position` on; where the letter stands, and an error text."""
    error = ""
    while position < len(form) and form[position] in "+-# 0":
        verb.flags += form[position]
        position += 1
    position, used, verb.width, bad = _read_count(form, position, values, used)
    error += "%!(BADWIDTH)" if bad else ""
    if verb.width is not None and verb.width < 0:
        verb.flags += "-"
        verb.width = -verb.width
    if position < len(form) and form[position] == ".":
        position, used, verb.precision, bad = _read_count(form, position + 1, values, used)
        error += "%!(BADPREC)" if bad else ""
        if verb.precision is None and not bad:
            verb.precision = 0
    return position, used, error


def _read_count(
    form: str, position: int, values: tuple[object, ...], used: int
) -> tuple[int, int, int | None, bool]:
    if position < len(form) and form[position] == "*":
        value = values[used] if used < len(values) else None
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 1_000_000:
            return position + 1, used + 1, value, False
        return position + 1, min(used + 1, len(values)), None, True
    end = position
    while end < len(form) and form[end].isascii() and form[end].isdigit():
        end += 1
    if end == position:
        return end, used, None, False
    count = int(form[position:end][:8])
    return (end, used, count, False) if count <= 1_000_000 else (end, used, None, True)


def _format(verb: _Verb, letter: str, value: object) -> str:
    if letter == "v":  # there a plus asks for field names, not for a sign
        verb.flags = verb.flags.replace("+", "")
    if letter == "T":
        return verb.pad(type_name(value))
    if value is None:
        return verb.pad("<nil>") if letter == "v" else f"%!{letter}(<nil>)"
    if isinstance(value, bool):
        return verb.pad(text_of(value)) if letter in "tv" else _bad(letter, value)
    if isinstance(value, int):
        return _format_integer(verb, letter, value)
    if isinstance(value, float):
        return _format_float(verb, letter, value)
    if isinstance(value, str):
        return _format_string(verb, letter, value)
    if type(value) is dict:
        if letter == "v":
            return verb.pad(text_of(value))
        inner = " ".join(
            f"{_format(verb, letter, key)}:{_format(verb, letter, value[key])}" for key in sorted(value)
        )
        return f"map[{inner}]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(_format(verb, letter, item) for item in value) + "]"
    return verb.pad(str(value)) if letter in "vs" else _bad(letter, value)


def _bad(letter: str, value: object) -> str:
    return f"%!{letter}({type_name(value)}={text_of(value)})"


def _format_string(verb: _Verb, letter: str, value: str) -> str:
    shown = value if verb.precision is None else value[: verb.precision]
    if letter in "sv":
        return verb.pad(quote(shown) if letter == "v" and "#" in verb.flags else shown)
    if letter == "q":
        if "#" in verb.flags and "`" not in shown and shown.isprintable():
            return verb.pad(f"`{shown}`")
        return verb.pad(quote(shown, ascii_only="+" in verb.flags))
    if letter in "xX":
        data = shown.encode("utf-8", "surrogateescape")
        text = data.hex(" ") if " " in verb.flags else data.hex()
        return verb.pad(text.upper() if letter == "X" else text)
    return _bad(letter, value)


_BASES = {"b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_PREFIXES = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}


def _format_integer(verb: _Verb, letter: str, value: int) -> str:
    if letter in "dv" or letter in _BASES:
        digits = f"{abs(value):d}" if letter in "dv" else f"{abs(value):{_BASES[letter]}}"
        if verb.precision is not None:
            digits = digits.rjust(verb.precision, "0")
            verb.flags = verb.flags.replace("0", "")
        if letter == "O":
            digits = "0o" + digits
        elif "#" in verb.flags and letter in _PREFIXES:
            digits = _PREFIXES[letter] + digits
        sign = "-" if value < 0 else "+" if "+" in verb.flags else " " if " " in verb.flags else ""
        return verb.pad(sign + digits, numeric=True)
    if letter == "c":
        return verb.pad(chr(value) if 0 <= value <= 0x10FFFF else "\ufffd")
    if letter == "q":
        return verb.pad(quote(chr(value) if 0 <= value <= 0x10FFFF else "\ufffd", mark="'"))
    if letter == "U":
        return verb.pad(f"U+{value:04X}" + (f" '{chr(value)}'" if "#" in verb.flags else ""))
    return _bad(letter, value)


def _format_float(verb: _Verb, letter: str, value: float) -> str:
    if letter not in "eEfFgGv":
        return _bad(letter, value)
    if letter in "gGv" and verb.precision is None:
        text = float_text(value)
    else:
        precision = 6 if verb.precision is None else verb.precision
        text = f"{value:.{precision}{'g' if letter == 'v' else letter}}"
    if "+" in verb.flags and not text.startswith(("-", "+")):
        text = "+" + text
    elif " " in verb.flags and not text.startswith(("-", "+")):
        text = " " + text
    return verb.pad(text.upper() if letter == "G" else text, numeric=True)


def sprint(*values: object) -> str:
    """fmt.Sprint: a blank between two values of which neither is a string."""
    parts: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            parts.append(" ")
        parts.append(text_of(value))
    return "".join(parts)


def sprintln(*values: object) -> str:
    """fmt.Sprintln."""
    return " ".join(text_of(value) for value in values) + "\n"
