"""Files of variables and labels, `--env-file` and `--label-file`: one a line, `#` begins a comment."""

from __future__ import annotations

import os

from wherry.cli.failures import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def read_environment(files: Iterable[str], given: list[str]) -> list[str]:
    """The lines of `files`, then the variables given one by one.

    Raises:
        CommandFailed: a file that cannot be read, or a line that is no variable.
    """
    return _read_lines(files, take_environment=True) + given


def read_labels(files: Iterable[str], given: list[str]) -> list[str]:
    """The lines of `files`, then the labels given one by one.

    Raises:
        CommandFailed: as for variables.
    """
    return _read_lines(files, take_environment=False) + given


def _read_lines(files: Iterable[str], *, take_environment: bool) -> list[str]:
    lines = []
    for path in files:
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CommandFailed(f"open {path}: {reason}") from None
        lines += _parse_file(path, text.removeprefix(b"\xef\xbb\xbf"), take_environment=take_environment)
    return lines


def _parse_file(path: str, data: bytes, *, take_environment: bool) -> list[str]:
    lines = []
    for number, raw in enumerate(data.split(b"\n"), 1):
        try:
            line = raw.decode().removesuffix("\r").lstrip()
        except UnicodeDecodeError:
            shown = raw.decode("utf-8", "replace")
            raise CommandFailed(
                f"env file {path} contains invalid utf8 bytes at line {number}: {shown}"
            ) from None
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not name.strip():
            raise CommandFailed(f"invalid env file ({path}): no variable name on line '{line}'")
        if " " in name or "\t" in name:
            raise CommandFailed(f"invalid env file ({path}): variable '{name}' contains whitespaces")
        if equals:
            lines.append(f"{name}={value}")
        elif not take_environment:
            lines.append(name)
        elif name in os.environ:
            lines.append(f"{name}={os.environ[name]}")
    return lines
