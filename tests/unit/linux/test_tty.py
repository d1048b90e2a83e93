"""Terminals: pairs, sizes, and the raw mode."""

import os
import termios
import tty as standard
from collections.abc import Iterator

import pytest

from wherry.linux import tty


@pytest.fixture
def pair() -> Iterator[tuple[int, int]]:
    master, slave = tty.open_pty()
    yield master, slave
    os.close(master)
    os.close(slave)


def test_both_ends_are_one_terminal_and_close_on_exec(pair: tuple[int, int]) -> None:
    master, slave = pair

    assert os.ttyname(slave) == f"/dev/pts/{tty.pty_number(master)}"
    assert not os.get_inheritable(master)
    assert not os.get_inheritable(slave)


def test_the_size_goes_from_one_end_to_the_other(pair: tuple[int, int]) -> None:
    tty.set_window_size(pair[0], 24, 80)

    assert tty.window_size(pair[1]) == (24, 80)


@pytest.mark.parametrize("size", [(-1, 1), (1, 65536)])
def test_an_impossible_size_is_an_error(pair: tuple[int, int], size: tuple[int, int]) -> None:
    with pytest.raises(OSError, match="out of range"):
        tty.set_window_size(pair[0], *size)


def test_the_raw_mode_is_that_of_cfmakeraw(pair: tuple[int, int]) -> None:
    before = tty.get_mode(pair[1])
    tty.set_mode(pair[1], tty.raw_mode(before))
    ours = termios.tcgetattr(pair[1])
    tty.set_mode(pair[1], before)

    standard.setraw(pair[1])
    theirs = termios.tcgetattr(pair[1])

    # Python's own leaves IGNBRK, PARMRK, INLCR and IGNCR, which are off here anyway.
    assert ours == theirs


def test_the_mode_can_be_put_back(pair: tuple[int, int]) -> None:
    before = tty.get_mode(pair[1])

    tty.set_mode(pair[1], tty.raw_mode(before))
    tty.set_mode(pair[1], before)

    assert tty.get_mode(pair[1]) == before


def test_what_is_no_terminal_says_so() -> None:
    read, write = os.pipe()

    with pytest.raises(OSError, match="Inappropriate ioctl"):
        tty.get_mode(read)

    os.close(read)
    os.close(write)
