"""What starts have in common, learned from those before, so that a spare has it done when it is asked.

All processes of a start are copies of the spawner, and share each page with it until they write there: then
the kernel stops them and copies the page.  A thousand such stops are a good part of a start.  They all do the
same, so what the first one has come to own is what the next one will: a spare copies just that while it
waits.  Nothing is copied that would not be, and what was learned wrongly costs a little memory.

In the same way a spare init gets the namespaces that the last container asked for.

The knowledge lies in memory that all of them share: for each role its ranges, and their number, which is
written last; then the flags of the namespaces.
"""

from __future__ import annotations

import mmap
import struct

from wherry.linux import memory

SHIM, HELPER, INIT = range(3)
_MOST = 2047  # ranges of a role
_NUMBER = struct.Struct("=Q")
_RANGE = struct.Struct("=QQ")
_ROLE_BYTES = (_MOST + 1) * _RANGE.size
_FLAGS_AT = 3 * _ROLE_BYTES

_shared: mmap.mmap | None = None


def share() -> None:
    """Have memory for what will be learned; before the first fork."""
    global _shared
    _shared = mmap.mmap(-1, _FLAGS_AT + _NUMBER.size)


def learn_pages(role: int, pid: int | str = "self") -> None:
    """Remember what process `pid` has come to own, unless its role is known already."""
    if _shared is None or _number_of(role):
        return
    try:
        ranges = memory.own_pages(pid)[:_MOST]
    except OSError:
        return
    for index, each in enumerate(ranges, 1):
        _RANGE.pack_into(_shared, role * _ROLE_BYTES + index * _RANGE.size, *each)
    _NUMBER.pack_into(_shared, role * _ROLE_BYTES, len(ranges))


def take_pages(role: int) -> None:
    """Come to own what `role` will write to."""
    if _shared is None:
        return
    try:
        for index in range(1, _number_of(role) + 1):
            memory.populate(*_RANGE.unpack_from(_shared, role * _ROLE_BYTES + index * _RANGE.size))
    except OSError:
        pass  # then each page is copied when it is written to


def learn_flags(flags: int) -> None:
    """Remember with which flags the last init was made."""
    if _shared is not None:
        _NUMBER.pack_into(_shared, _FLAGS_AT, flags)


def flags(default: int) -> int:
    """The flags of the last init, or `default` when there has been none."""
    known: int = _NUMBER.unpack_from(_shared, _FLAGS_AT)[0] if _shared is not None else 0
    return known or default


def _number_of(role: int) -> int:
    assert _shared is not None
    number: int = _NUMBER.unpack_from(_shared, role * _ROLE_BYTES)[0]
    return number
