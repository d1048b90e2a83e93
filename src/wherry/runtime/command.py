"""Finding the program to run, as Go's exec.LookPath does and in its words.

Searched as the container's user and with the container's PATH.
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.runtime.failures import COMMAND_NOT_EXECUTABLE, COMMAND_NOT_FOUND, StartFailed, reason


def find_command(name: bytes, environment: dict[bytes, bytes]) -> bytes:
    """The path of the program `name`.

    Raises:
        StartFailed: with exit code 127 where there is none, 126 where it may not be executed.
    """
    if b"/" in name:
        _check(name, name)
        return name
    for directory in environment.get(b"PATH", b"").split(b":") if environment.get(b"PATH") else []:
        path = (directory or b".") + b"/" + name
        try:
            _check(name, path)
        except StartFailed:
            continue
        if not path.startswith(b"/"):
            text = f"exec: {_quoted(name)}: cannot run executable found relative to current directory"
            raise StartFailed(text, exit_code=COMMAND_NOT_EXECUTABLE)
        return path
    text = f"exec: {_quoted(name)}: executable file not found in $PATH"
    raise StartFailed(text, exit_code=COMMAND_NOT_FOUND)


def _check(name: bytes, path: bytes) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        raise StartFailed(
            f"exec: {_quoted(name)}: stat {path.decode('utf-8', 'replace')}: {reason(error)}",
            exit_code=COMMAND_NOT_FOUND if missing else COMMAND_NOT_EXECUTABLE,
        ) from None
    if stat.S_ISDIR(mode):
        raise _denied(name, "is a directory: permission denied")
    # By the effective user, and aware of a noexec mount, which mode bits do not tell.
    if not os.access(path, os.X_OK, effective_ids=True) or not mode & 0o111:
        raise _denied(name, "permission denied")


def _denied(name: bytes, text: str) -> StartFailed:
    return StartFailed(f"exec: {_quoted(name)}: {text}", exit_code=COMMAND_NOT_EXECUTABLE)


def _quoted(name: bytes) -> str:
    """`name` as Go's %q shows it."""
    text = name.decode("utf-8", "replace")
    shown = "".join(
        {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(each)
        or (
            each
            if each.isprintable()
            else f"\\x{ord(each):02x}"
            if ord(each) < 0x80
            else f"\\u{ord(each):04x}"
        )
        for each in text
    )
    return f'"{shown}"'


def execute(path: bytes, args: list[bytes], environment: dict[bytes, bytes]) -> None:
    """Become the program.  Returns never.

    Raises:
        StartFailed: the kernel refuses the file, such as for its format.
    """
    try:
        os.execve(path, args, environment)
    except OSError as error:
        code = COMMAND_NOT_FOUND if error.errno == errno.ENOENT else COMMAND_NOT_EXECUTABLE
        raise StartFailed(
            f"exec {path.decode('utf-8', 'replace')}: {reason(error)}", exit_code=code
        ) from error
