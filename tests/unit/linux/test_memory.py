"""A process's own pages are those it has written to since the fork."""

from __future__ import annotations

import ctypes
import mmap
import os

import pytest

from wherry.linux import memory

PAGE = mmap.PAGESIZE


def test_nothing_is_mapped_at_address_zero_to_be_populated() -> None:
    with pytest.raises(OSError, match="madvise"):
        memory.populate(0, PAGE)


def test_pages_of_a_process_that_is_gone_cannot_be_told() -> None:
    with pytest.raises(OSError, match="No such file"):
        memory.own_pages(2**22 + 1)


def test_a_child_owns_the_page_it_wrote_to_and_the_one_it_populated_but_not_their_neighbour() -> None:
    area = mmap.mmap(-1, 3 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area[:] = b"x" * len(area)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    told, tell = os.pipe()
    end, ending = os.pipe()

    pid = os.fork()
    if pid == 0:
        os.close(ending)
        area[0:1] = b"y"
        memory.populate(address + 2 * PAGE, PAGE)
        os.write(tell, b"1")
        os.read(end, 1)
        os._exit(0)
    try:
        os.read(told, 1)
        owned = [
            index
            for index in range(3)
            for start, length in memory.own_pages(pid)
            if start <= address + index * PAGE < start + length
        ]
    finally:
        for fd in (told, tell, end, ending):
            os.close(fd)
        os.waitpid(pid, 0)

    assert owned == [0, 2]
