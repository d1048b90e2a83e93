"""The spawner's protocol: packets as the shim's (see `wherry.shim.protocol`), on descriptor 3.

    spawner → {"hello": 1, "pid"}
    daemon  → {"call": "start_shim", "serial": n, "tenant", "id", "bundle"}     + the shim's connection
    spawner → {"reply": n, "pid"}            the shim is forked; all else is said on its own connection
    daemon  → {"call": "operation", "serial": n, "operation", "arguments"}         + descriptors
    spawner → {"reply": n, "result"}  or  {"reply": n, "error": ERROR}          once the operation has ended

`start_shim` is idempotent by id: a shim that finds its bundle locked by another ends without a word, and
so does one whose bundle is gone.  Whether a start in flight happened when the spawner died is told by the
bundle (record and lock), never by the spawner.

An operation runs in a child of its own, which may enter namespaces; `wherry.spawner.operations` lists
them.  Operations run side by side, and answers come in the order of their ends.

The spawner ends when its socket does.
"""

from __future__ import annotations

from wherry.shim.protocol import ProtocolError, receive, send

VERSION = 1
SOCKET_FD = 3

__all__ = ["SOCKET_FD", "VERSION", "ProtocolError", "receive", "send"]
