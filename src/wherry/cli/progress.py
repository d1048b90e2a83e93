"""Progress of pulls, pushes and loads: live lines on a terminal, else one line per status.

The daemon sends records `{status, id, progressDetail}`, `{stream}`, `{aux}` and, last, an error.
On a terminal every id has its line, found again by counting upwards; a record without an id ends
that block of lines.  Elsewhere records that only report progress are left out.
"""

from __future__ import annotations

from wherry.cli.failures import CommandFailed
from wherry.cli.terminal import is_terminal, window_size
from wherry.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from wherry.cli.session import Session

BAR_COLUMNS = 50
WIDE_COLUMNS = 110


class Progress:
    """Writes records to standard output, or to standard error; `quiet` only looks for an error."""

    def __init__(self, session: Session, *, to_stderr: bool = False, quiet: bool = False) -> None:
        descriptor = session.stderr_fd if to_stderr else session.stdout_fd
        self._write: Callable[[str], None] = session.err if to_stderr else session.out
        self._quiet = quiet
        self._terminal = is_terminal(descriptor) and not quiet
        self._descriptor = descriptor
        self._lines: dict[str, int] = {}

    def show(self, records: Iterable[dict[str, Any]], on_aux: Callable[[Any], None] | None = None) -> None:
        """Show a stream to its end.

        Raises:
            CommandFailed: its last record is an error.
        """
        for record in records:
            if record.get("aux") is not None:
                if on_aux is not None:
                    on_aux(record["aux"])
                continue
            self._record(record)

    def _record(self, record: dict[str, Any]) -> None:
        name = str(record.get("id") or "")
        detail = record.get("progressDetail")
        up = 0
        if name and (detail is not None or record.get("progress")):
            if name not in self._lines:
                self._lines[name] = len(self._lines)
                if self._terminal:
                    self._write("\n")
            up = len(self._lines) - self._lines[name]
            if self._terminal:
                self._write(f"\x1b[{up}A")
        else:
            self._lines = {}
        self._display(record, name, detail)
        if name and self._terminal and up:
            self._write(f"\x1b[{up}B")

    def _display(self, record: dict[str, Any], name: str, detail: dict[str, Any] | None) -> None:
        _raise_error(record)
        if self._quiet:
            return
        shown = progress_text(detail or {}, self._width()) if detail is not None else ""
        stream = record.get("stream")
        live = self._terminal and detail is not None and not stream
        if not live and shown:
            return
        text = f"{name}: " if name else ""
        if live:
            self._write(f"\x1b[2K\r{text}{record.get('status') or ''} {shown}\r")
        elif stream:
            self._write(text + str(stream))
        else:
            self._write(f"{text}{record.get('status') or ''}\n")

    def _width(self) -> int:
        size = window_size(self._descriptor)
        return size[1] if size else 200


def _raise_error(record: dict[str, Any]) -> None:
    detail = record.get("errorDetail")
    message = (detail or {}).get("message") or record.get("error")
    if not message:
        return
    code = (detail or {}).get("code")
    if code == 401:
        message = "authentication is required"
    raise CommandFailed(str(message))


def progress_text(detail: dict[str, Any], width: int) -> str:
    """`[====>    ]  1.2MB/3.4MB`; empty without numbers, without a bar where it does not fit."""
    current, total = int(detail.get("current") or 0), int(detail.get("total") or 0)
    units = str(detail.get("units") or "")
    if current <= 0 and total <= 0:
        return ""
    if total <= 0:
        return f"{current} {units}" if units else f"{human_size(current):>8}"
    bar = ""
    if width > WIDE_COLUMNS:
        filled = min(int(current / total * 100) // 2, BAR_COLUMNS)
        bar = f"[{'=' * filled}>{' ' * (BAR_COLUMNS - filled)}] "
    if units:
        counts = f"{current}/{total} {units}" if current <= total else f"{current} {units}"
    elif current > total:
        counts = f"{human_size(current):>8}"
    else:
        counts = f"{human_size(current):>8}/{human_size(total)}"
    return "" if detail.get("hidecounts") and not bar else bar + ("" if detail.get("hidecounts") else counts)
