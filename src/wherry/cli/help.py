"""Help and usage texts in cobra's layout, wrapped to the terminal as pflag wraps.

Loaded only when somebody asks for help or has made a mistake.
"""

from __future__ import annotations

import os

from wherry.cli import commands
from wherry.cli.flags import Flag
from wherry.cli.session import PROGRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.cli.commands import Command, Entry

_HELP = Flag("help", "bool", "Print usage")
_SLOP = 5
_NARROWEST = 24


def command_help(path: str, entry: Entry, command: Command) -> str:
    """The text of `COMMAND --help`."""
    parts = [f"Usage:  {usage_line(path, command)}\n\n{command.description or entry.summary}\n"]
    names = commands.other_names(entry)
    if names:
        parts.append("Aliases:\n  " + ", ".join(f"{PROGRAM} {name}" for name in names) + "\n")
    visible = [flag for flag in command.flags if not flag.hidden]
    if any(flag.short == "h" for flag in command.flags):
        visible = sorted([*visible, _HELP], key=lambda flag: flag.name)
    if visible:
        parts.append("Options:\n" + flag_table(visible))
    return "\n".join(parts)


def group_help(group: str) -> str:
    """The text of `GROUP --help`."""
    rows = {name: entry.summary for name, entry in commands.members(group).items() if entry.summary}
    return (
        f"Usage:  {PROGRAM} {group} COMMAND\n\n{commands.GROUPS[group]}\n\nCommands:\n{_rows(rows)}\n"
        f"Run '{PROGRAM} {group} COMMAND --help' for more information on a command.\n"
    )


def program_help(global_flags: Iterable[Flag]) -> str:
    """The text of `--help`."""
    common = {name: commands.TOP[name].summary for name in commands.COMMON}
    others = {name: entry.summary for name, entry in sorted(commands.TOP.items()) if name not in common}
    return (
        f"Usage:  {PROGRAM} [OPTIONS] COMMAND\n\nRuns containers from images, compatible with Docker\n\n"
        f"Common Commands:\n{_rows(common)}\nManagement Commands:\n{_rows(commands.GROUPS)}\n"
        f"Commands:\n{_rows(others)}\nGlobal Options:\n{flag_table(global_flags)}\n"
        f"Run '{PROGRAM} COMMAND --help' for more information on a command.\n"
    )


def usage_line(path: str, command: Command) -> str:
    """`wherry ps [OPTIONS]`"""
    return f"{PROGRAM} {path} {command.usage}".rstrip()


def _rows(rows: dict[str, str]) -> str:
    width = max(11, *(len(name) for name in rows))
    return "".join(f"  {name:<{width}} {summary}\n" for name, summary in rows.items())


def terminal_width() -> int:
    """Columns of the terminal on standard input, 80 without one."""
    try:
        return os.get_terminal_size(0).columns or 80
    except OSError:
        return 80


def flag_table(flags: Iterable[Flag], width: int | None = None) -> str:
    """The list of flags with their types, texts and defaults."""
    width = (terminal_width() if width is None else width) - 1
    shown = []
    for flag in flags:
        head = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
        if flag.type_name:
            head += " " + flag.type_name
        shown.append((head, flag.usage + _default_text(flag)))
    column = max(len(head) for head, _ in shown) + 3
    return "".join(f"{head:<{column}}{wrap(column, width, text)}\n" for head, text in shown)


def _default_text(flag: Flag) -> str:
    if flag.shown:
        return f" (default {flag.shown})"
    if flag.kind == "map":
        return " (default map[])"
    if flag.kind == "uint16":
        return f" (default {flag.default})"
    if flag.kind == "duration":
        return " (default 0s)"
    if flag.default is True:
        return " (default true)"
    if flag.kind == "string" and flag.default:
        return f' (default "{flag.default}")'
    if flag.kind == "int" and flag.default:
        return f" (default {flag.default})"
    return ""


def wrap(indent: int, width: int, text: str) -> str:
    """`text` in lines of `width` columns, all but the first indented.

    A last line may be `_SLOP` columns longer rather than leave one short word alone.
    """
    room = width - indent
    head = ""
    if room < _NARROWEST:
        indent = 16
        room = width - indent
        head = "\n" + " " * indent
    if room < _NARROWEST:
        return text.replace("\n", head or "\n")
    room -= _SLOP
    separator = "\n" + " " * indent
    lines = []
    while True:
        line, text = _break(room, text)
        lines.append(line.replace("\n", separator))
        if not text:
            return head + separator.join(lines)


def _break(room: int, text: str) -> tuple[str, str]:
    if room + _SLOP > len(text):
        return text, ""
    place = max(text.rfind(c, 0, room) for c in " \t\n")
    if place <= 0:
        return text, ""
    newline = text.rfind("\n", 0, room)
    if 0 < newline < place:
        place = newline
    return text[:place], text[place + 1 :]
