"""Runs a function in a child process that may change its namespaces, rights and filters as it likes."""

import os
import traceback
from collections.abc import Callable

from wherry.linux import process


def run_forked(function: Callable[[], object], flags: int = 0, *, cgroup_fd: int = -1) -> str:
    """The text of what `function` returns in a child made with `flags`; a failure there fails here.

    The child is the first process of new namespaces, as in a container.
    """
    read, write = os.pipe()
    pid, pidfd = process.clone3(flags, cgroup_fd=cgroup_fd)
    if pid == 0:
        try:
            os.close(read)
            try:
                report = f"+{function()}"
            except BaseException:
                report = f"-{traceback.format_exc()}"
            os.write(write, report.encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as file:
        report = file.read()
    status = process.wait_pidfd(pidfd)
    os.close(pidfd)
    assert report.startswith("+"), report or f"the child ended with status {status}"
    return report[1:]
