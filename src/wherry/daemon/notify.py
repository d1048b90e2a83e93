"""Telling whoever started us that clients are served: systemd, or a descriptor.

Spec: sd_notify(3).
"""

from __future__ import annotations

import os
import socket

from wherry.diagnostics.logs import log


def notify(state: str) -> None:
    """Tell systemd `state` (`READY=1`, `STOPPING=1`); nothing where there is no systemd."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + address[1:] if address.startswith("@") else address)
            sock.send(state.encode())
    except OSError as error:
        log("warning", "cannot notify the service manager", error=error)


def tell_ready(fd: int) -> None:
    """Write a line to `fd` and close it."""
    try:
        os.write(fd, b"ready\n")
    except OSError as error:
        log("warning", "cannot tell that clients are served", fd=fd, error=error)
    finally:
        os.close(fd)
