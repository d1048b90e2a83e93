"""Flags as runc's command line takes them: `--name value`, `--name=value`, one dash or two.

The first word that is no flag ends them, so that the command of `exec` keeps its own.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument

# A table of flags: name to kind.  A short name is the same flag.
BOOLEAN, STRING, LIST, NUMBER = "boolean", "string", "list", "number"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Flags = dict[str, tuple[str, object, str]]  # name: (kind, default, short names apart by blanks)

_TRUE, _FALSE = ("true", "t", "1", "TRUE", "True", "T"), ("false", "f", "0", "FALSE", "False", "F")


class Options:
    """The values of a command's flags, and of the flags before the command."""

    __slots__ = ("command", "values")

    def __init__(self, command: str, values: dict[str, Any]) -> None:
        self.command = command
        self.values = values

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def given(self, name: str) -> bool:
        return self.values[name] is not None


def parse_flags(table: Flags, words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The values of all flags of `table`, and what follows them.

    Raises:
        InvalidArgument: an unknown flag, or a value that is none.
    """
    names = {short: name for name, (_, _, shorts) in table.items() for short in [name, *shorts.split()]}
    values: dict[str, Any] = {
        name: [] if kind == LIST else default for name, (kind, default, _) in table.items()
    }
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        given, separator, value = word.lstrip("-").partition("=")
        if given not in names:
            raise InvalidArgument(f"flag provided but not defined: -{given}")
        name = names[given]
        kind = table[name][0]
        if kind == BOOLEAN:
            values[name] = _boolean(name, value) if separator else True
            continue
        if not separator:
            if not rest:
                raise InvalidArgument(f"flag needs an argument: -{given}")
            value = rest.pop(0)
        if kind == LIST:
            values[name].append(value)
        else:
            values[name] = _number(name, value) if kind == NUMBER else value
    return values, rest


def take_id(arguments: list[str], *, exactly: bool = True) -> str:
    """The container's id among the arguments.

    Raises:
        InvalidArgument: too few or too many.
    """
    if not arguments or (exactly and len(arguments) != 1):
        raise InvalidArgument(
            f'"{" ".join(arguments)}": exactly 1 argument, the container\'s id, is required'
        )
    return arguments[0]


def _boolean(name: str, value: str) -> bool:
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise InvalidArgument(f'invalid boolean value "{value}" for -{name}')


def _number(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InvalidArgument(f'invalid value "{value}" for flag -{name}') from None
