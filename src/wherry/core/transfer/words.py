"""Words of a Dockerfile line: quotes, escapes and `$VARIABLE`s, as Docker's builder reads them.

    'single'   taken as it is            "double"   variables and \\" \\$ \\\\ are read
    \\x         the character x           $NAME ${NAME} ${NAME:-default} ${NAME:+alternative}

Spec: Dockerfile reference, Environment replacement.
"""

from __future__ import annotations

from collections.abc import Mapping

from wherry.errors import InvalidArgument

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
LENGTH_LIMIT = 1 << 20


def split_words(line: str) -> list[str]:
    """The words of `line` with their quotes kept: blanks inside quotes do not part words.

    Raises:
        InvalidArgument: a quote that does not end.
    """
    words: list[str] = []
    word = ""
    quote = ""
    at = 0
    while at < len(line):
        char = line[at]
        if char == "\\" and quote != "'" and at + 1 < len(line):
            word += line[at : at + 2]
            at += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in " \t":
            words += [word] if word else []
            word = ""
            at += 1
            continue
        word += char
        at += 1
    if quote:
        raise InvalidArgument(f"unterminated quote in {line!r}")
    return words + ([word] if word else [])


def expand(word: str, variables: Mapping[str, str]) -> str:
    """`word` without its quotes and escapes, and with its variables replaced.

    Raises:
        InvalidArgument: a quote or a brace that does not end, or a text without bounds.
    """
    text, at = _expand(word, 0, variables, ends="")
    assert at == len(word)
    return text


def _expand(word: str, at: int, variables: Mapping[str, str], *, ends: str) -> tuple[str, int]:
    """Expand from `at` up to the end, or to the character `ends` outside quotes."""
    parts: list[str] = []
    quoted = False
    length = 0
    while at < len(word):
        char = word[at]
        if ends and char == ends and not quoted:
            return "".join(parts), at
        if char == "'" and not quoted:
            end = word.find("'", at + 1)
            if end < 0:
                raise InvalidArgument(f"unterminated quote in {word!r}")
            piece, at = word[at + 1 : end], end + 1
        elif char == '"':
            quoted, piece, at = not quoted, "", at + 1
        elif char == "\\" and at + 1 < len(word):
            following = word[at + 1]
            piece = following if not quoted or following in '"$\\' else char + following
            at += 2
        elif char == "$":
            piece, at = _variable(word, at + 1, variables)
        else:
            piece, at = char, at + 1
        parts.append(piece)
        length += len(piece)
        if length > LENGTH_LIMIT:
            raise InvalidArgument("a value is too long after its variables are replaced")
    if quoted or ends:
        raise InvalidArgument(f"unterminated {'quote' if quoted else 'brace'} in {word!r}")
    return "".join(parts), at


def _variable(word: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """The value of the variable whose `$` stands before `at`."""
    if word[at : at + 1] != "{":
        name, at = _name(word, at)
        return (variables.get(name, ""), at) if name else ("$", at)
    name, at = _name(word, at + 1)
    if not name:
        raise InvalidArgument(f"missing variable name in {word!r}")
    value = variables.get(name, "")
    if word[at : at + 1] == "}":
        return value, at + 1
    operator = word[at : at + 2]
    if operator not in (":-", ":+"):
        raise InvalidArgument(f"unsupported modifier in substitution in {word!r}")
    alternative, at = _expand(word, at + 2, variables, ends="}")
    use_alternative = bool(value) == (operator == ":+")
    return (alternative if use_alternative else (value if operator == ":-" else "")), at + 1


def _name(word: str, at: int) -> tuple[str, int]:
    start = at
    while at < len(word) and word[at] in _NAME:
        at += 1
    return word[start:at], at
