"""The tables of system call numbers, against the numbers this machine's calls are made with."""

import os

import pytest

from wherry.linux import libc, syscalls

TABLES = {
    "X86_64": syscalls.X86_64,
    "I386": syscalls.I386,
    "AARCH64": syscalls.AARCH64,
    "ARM": syscalls.ARM,
    "X32": syscalls.X32,
}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_calls_we_make_have_the_numbers_of_the_table(machine: str) -> None:
    table = {"x86_64": syscalls.X86_64, "aarch64": syscalls.AARCH64}[machine]
    numbers = {"x86_64": libc._X86_64, "aarch64": libc._AARCH64}[machine] | libc._COMMON

    assert numbers == {name: table[name] for name in numbers}


@pytest.mark.parametrize("name", TABLES)
def test_a_number_stands_for_one_call(name: str) -> None:
    table = TABLES[name]

    assert len(set(table.values())) == len(table)
    assert len(table) > 300


def test_x32_numbers_have_their_bit() -> None:
    assert all(number & syscalls.X32_BIT for number in syscalls.X32.values())
    assert not any(number & syscalls.X32_BIT for number in syscalls.X86_64.values())


def test_getpid_by_the_table_is_getpid() -> None:
    table = syscalls.AARCH64 if libc.MACHINE == "aarch64" else syscalls.X86_64

    assert libc.syscall("getpid", table["getpid"]) == os.getpid()


def test_calls_that_only_the_multiplexer_has_are_few() -> None:
    names = syscalls.SOCKETCALLS.keys() | syscalls.IPC_CALLS.keys()

    assert names - syscalls.X86_64.keys() == {"recv", "send"}
