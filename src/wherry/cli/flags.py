"""Flags with pflag's grammar, driven by a table.

A command lists its `Flag`s; `parse` turns an argument vector into `Options` and the positional
arguments.  Grammar: `--name value`, `--name=value`, `-n value`, `-nvalue`, `-n=value`, bundles of
short flags of which the last may take a value, `--` as the end of flags; a bool takes a value
only behind `=`.  Flags may stand between arguments, except where a command runs another one.
"""

from __future__ import annotations

from wherry.cli.failures import DeprecatedHelp, FlagError, HelpWanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

# kind: (type name in help, repeatable, value when absent)
KINDS: dict[str, tuple[str, bool, object]] = {
    "bool": ("", False, False),
    "string": ("string", False, ""),
    "int": ("int", False, 0),
    "uint": ("uint", False, 0),
    "uint16": ("uint16", False, 0),
    "bytes": ("bytes", False, 0),
    "swap": ("bytes", False, 0),
    "duration": ("duration", False, 0),
    "decimal": ("decimal", False, 0),
    "list": ("list", True, ()),
    "strings": ("strings", True, ()),
    "map": ("map", True, ()),
    "filter": ("filter", True, ()),
}


class Flag:
    """One flag of a command.

    `parse` turns the text into the value, raising ValueError with Docker's text; without it the
    kind decides.  `type_name` and `shown` override what help prints as type and default.
    """

    __slots__ = (
        "default",
        "hidden",
        "kind",
        "name",
        "parse",
        "short",
        "shown",
        "target",
        "type_name",
        "usage",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        usage: str,
        *,
        short: str = "",
        default: object = None,
        parse: Callable[[str], object] | None = None,
        hidden: bool = False,
        target: str = "",
        type_name: str = "",
        shown: str = "",
    ) -> None:
        self.name = name
        self.kind = kind
        self.usage = usage
        self.short = short
        self.default = KINDS[kind][2] if default is None else default
        self.parse = parse
        self.hidden = hidden
        self.target = target or name
        self.type_name = type_name or KINDS[kind][0]
        self.shown = shown

    @property
    def repeatable(self) -> bool:
        return KINDS[self.kind][1]


class Options:
    """Parsed flags: `options["name"]` is the value or the default, `given` the names that were set."""

    __slots__ = ("_values", "given")

    def __init__(self, flags: Iterable[Flag]) -> None:
        self._values: dict[str, Any] = {}
        for flag in flags:
            if flag.target == flag.name:
                default = flag.default
                self._values[flag.name] = list(default) if isinstance(default, tuple) else default
        self.given: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def store(self, flag: Flag, value: object) -> None:
        """Set, or append to, the value of `flag`."""
        name = flag.target
        if flag.repeatable:
            if name not in self.given:
                self._values[name] = []
            if flag.kind == "strings" and isinstance(value, list):
                self._values[name] += value
            else:
                self._values[name].append(value)
        else:
            self._values[name] = value
        self.given.add(name)


def parse(
    flags: Iterable[Flag], arguments: list[str], *, interspersed: bool = True, help_flag: bool = True
) -> tuple[Options, list[str]]:
    """Options and positional arguments of an argument vector.

    Raises:
        FlagError: in pflag's words.
        HelpWanted: --help was given.
    """
    parser = _Parser(list(flags), help_flag=help_flag)
    return parser.options, parser.run(arguments, interspersed=interspersed)


class _Parser:
    def __init__(self, flags: list[Flag], *, help_flag: bool) -> None:
        self.options = Options(flags)
        self._long = {flag.name: flag for flag in flags}
        self._short = {flag.short: flag for flag in flags if flag.short}
        self._help = Flag("help", "bool", "Print usage")
        if help_flag:
            self._long.setdefault("help", self._help)
        self._wanted: HelpWanted | None = None

    def run(self, arguments: list[str], *, interspersed: bool) -> list[str]:
        positional: list[str] = []
        rest = list(arguments)
        rest.reverse()  # a stack: the next argument is the last
        while rest:
            argument = rest.pop()
            if len(argument) < 2 or argument[0] != "-":
                positional.append(argument)
                if not interspersed:
                    break
            elif argument == "--":
                break
            elif argument[1] == "-":
                self._parse_long(argument, rest)
            else:
                self._parse_bundle(argument, rest)
        rest.reverse()
        if self._wanted is not None:
            raise self._wanted
        return positional + rest

    def _parse_long(self, argument: str, rest: list[str]) -> None:
        name, equals, value = argument[2:].partition("=")
        if not name or name[0] == "-":
            raise FlagError(f"bad flag syntax: {argument}")
        flag = self._long.get(name)
        if flag is None:
            raise FlagError(f"unknown flag: --{name}")
        if equals:
            self._set(flag, value)
        elif flag.kind == "bool":
            self._set(flag, "true")
        elif rest:
            self._set(flag, rest.pop())
        else:
            raise FlagError(f"flag needs an argument: --{name}")

    def _parse_bundle(self, argument: str, rest: list[str]) -> None:
        letters = argument[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self._short.get(letter)
            if flag is None:
                if letter == "h" and "help" in self._long:
                    self._wanted = self._wanted or DeprecatedHelp()
                    continue
                raise FlagError(f"unknown shorthand flag: '{letter}' in -{letter}{letters}")
            if len(letters) > 1 and letters[0] == "=":
                self._set(flag, letters[1:])
                return
            if flag.kind == "bool":
                self._set(flag, "true")
            elif letters:
                self._set(flag, letters)
                return
            elif rest:
                self._set(flag, rest.pop())
            else:
                raise FlagError(f"flag needs an argument: '{letter}' in -{letter}")

    def _set(self, flag: Flag, text: str) -> None:
        try:
            value = flag.parse(text) if flag.parse else _parse_kind(flag.kind, text)
        except ValueError as error:
            shown = f"-{flag.short}, --{flag.name}" if flag.short else f"--{flag.name}"
            raise FlagError(f'invalid argument {quoted(text)} for "{shown}" flag: {error}') from None
        if flag is self._help:
            self._wanted = HelpWanted() if value else None
        else:
            self.options.store(flag, value)


def _content_trust(text: str) -> bool:
    if not parse_bool(text):
        raise ValueError("content trust is not supported")
    return True


# Docker's CLI had signatures of its own once; asking for them must not pass unheard.
CONTENT_TRUST_FLAG = Flag(
    "disable-content-trust",
    "bool",
    "Skip image verification",
    default=True,
    parse=_content_trust,
    hidden=True,
)


def quoted(text: str) -> str:
    """`text` as Go's %q."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    from wherry.cli.gotemplate.printf import quote

    return quote(text)


def _parse_kind(kind: str, text: str) -> object:
    if kind in ("string", "list"):
        return text
    if kind == "bool":
        return parse_bool(text)
    from wherry.cli import values

    return values.PARSERS[kind](text)


_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


def parse_bool(text: str) -> bool:
    """Go's strconv.ParseBool.

    Raises:
        ValueError: none of its spellings.
    """
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax")
