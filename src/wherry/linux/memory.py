"""Memory: which pages are a process's own, and taking some before they are written to."""

from __future__ import annotations

import os
import struct

from wherry.linux.libc import NR, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    Ranges = list[tuple[int, int]]  # address and length

_MADV_POPULATE_WRITE = 23
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Of an entry of pagemap: in memory; a page of a file, or shared; mapped by this process alone.
_PRESENT, _OF_FILE, _EXCLUSIVE = 1 << 63, 1 << 61, 1 << 56
_KIND, _OWN = _PRESENT | _OF_FILE | _EXCLUSIVE, _PRESENT | _EXCLUSIVE


def own_pages(pid: int | str = "self") -> Ranges:
    """The private memory of process `pid` that it shares with no other process, such as its parent.

    Raises:
        OSError: without /proc, or no such process.

    Spec: proc_pid_maps(5), proc_pid_pagemap(5).
    """
    found: Ranges = []
    with open(f"/proc/{pid}/maps", "rb", buffering=65536) as maps:
        lines = maps.readlines()
    fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for line in lines:
            place, mode, _ = line.split(b" ", 2)
            if mode != b"rw-p":
                continue
            start, end = (int(word, 16) for word in place.split(b"-"))
            entries = os.pread(fd, (end - start) // _PAGE * 8, start // _PAGE * 8)
            for index, (entry,) in enumerate(struct.iter_unpack("=Q", entries)):
                if entry & _KIND == _OWN:
                    _append(found, start + index * _PAGE)
    finally:
        os.close(fd)
    return found


def _append(ranges: Ranges, address: int) -> None:
    if ranges and sum(ranges[-1]) == address:
        ranges[-1] = (ranges[-1][0], ranges[-1][1] + _PAGE)
    else:
        ranges.append((address, _PAGE))


def populate(address: int, length: int) -> None:
    """Give this process its own copy of these pages now, as the first write to each would.

    Raises:
        OSError: ENOMEM where nothing is mapped, EINVAL before Linux 5.14.

    Spec: madvise(2), MADV_POPULATE_WRITE.
    """
    syscall("madvise", NR["madvise"], address, length, _MADV_POPULATE_WRITE)
