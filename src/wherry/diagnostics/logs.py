"""Log lines: a constant message and facts as fields, one line each, to stderr.

    time="2026-01-02T03:04:05.678Z" level=warning msg="shim lost" container=4f5a… pid=12

The form is logfmt, as dockerd's.  The `logging` module is not used: it costs a third of a
program's start.
"""

from __future__ import annotations

import os
import time

LEVELS = ("debug", "info", "warning", "error", "fatal")
_threshold = LEVELS.index("info")


def set_level(level: str) -> None:
    """Write lines of `level` and above.

    Raises:
        ValueError: no such level.
    """
    global _threshold
    _threshold = LEVELS.index("warning" if level == "warn" else level)


def log(level: str, message: str, **facts: object) -> None:
    """Write one line.  Never raises: a full disk must not stop a container."""
    if LEVELS.index(level) < _threshold:
        return
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    fields = "".join(f" {key}={_quote(str(value))}" for key, value in facts.items())
    line = f'time="{stamp}" level={level} msg={_quote(message, always=True)}{fields}\n'
    try:
        os.write(2, line.encode("utf-8", "backslashreplace"))
    except OSError:
        pass


def _quote(text: str, *, always: bool = False) -> str:
    if text and not always and text.isprintable() and not any(c in ' ="\\' for c in text):
        return text
    return (
        '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else f"\\u{ord(c):04x}") for c in text) + '"'
    )


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
