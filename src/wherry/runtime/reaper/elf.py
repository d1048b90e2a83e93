"""An ELF file with one segment, loaded where it says.

Spec: System V ABI, chapter 4, Object Files; chapter 5, Program Loading.
"""

from __future__ import annotations

import struct

BASE = 0x400000

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_HEADERS_SIZE = _HEADER.size + 2 * _SEGMENT.size
_EXECUTABLE, _LOAD, _GNU_STACK = 2, 1, 0x6474E551
_READ_EXECUTE, _READ_WRITE = 5, 6


def executable(code: bytes, machine: int) -> bytes:
    """A static executable that starts at the first byte of `code`, which runs at any address."""
    size = _HEADERS_SIZE + len(code)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = _HEADER.pack(
        identity, _EXECUTABLE, machine, 1, BASE + _HEADERS_SIZE, _HEADER.size, 0, 0,
        _HEADER.size, _SEGMENT.size, 2, 0, 0, 0,
    )  # fmt: skip
    load = _SEGMENT.pack(_LOAD, _READ_EXECUTE, 0, BASE, BASE, size, size, 0x10000)
    stack = _SEGMENT.pack(_GNU_STACK, _READ_WRITE, 0, 0, 0, 0, 0, 16)  # not executable
    return header + load + stack + code
