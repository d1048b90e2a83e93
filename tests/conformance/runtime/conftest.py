"""Both runtimes are called by the same process, in a state that does not depend on who started the tests."""

import os

import pytest

from wherry.linux.libc import syscall

RT_SIGACTION = {"x86_64": 13, "aarch64": 134}


@pytest.fixture(autouse=True, scope="session")
def default_library_signals() -> None:
    """Give the C library's own signals their default: runc passes on what its caller ignored."""
    for number in (32, 33):
        syscall("rt_sigaction", RT_SIGACTION[os.uname().machine], number, bytes(32), 0, 8)
