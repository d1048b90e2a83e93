"""kill: send a signal to a container's first process."""

from __future__ import annotations

import os

from wherry.linux.process import is_alive, pidfd_open, pidfd_send_signal
from wherry.runtime.commands.flags import BOOLEAN, Options, take_id
from wherry.runtime.container import Container
from wherry.runtime.failures import WrongState
from wherry.runtime.signals import parse_signal

FLAGS = {"all": (BOOLEAN, False, "a")}


def run(options: Options, arguments: list[str]) -> int:
    # As go-runc writes it, flags may also follow: `kill --all ID 9` and `kill ID 9`.
    container_id = take_id(arguments, exactly=False)
    signal = parse_signal(arguments[1] if len(arguments) > 1 else "SIGTERM")
    with Container.load(options["root"], container_id) as container:
        if options["all"]:
            _signal_all(container, signal)
            return 0
        if container.status() == "stopped":
            raise WrongState("container not running")
        signal_init(container, signal)
        if signal == 9 and not _has_own_pid_namespace(container):
            container.cgroup().kill()  # the death of this init ends nobody else
    return 0


def signal_init(container: Container, signal: int) -> None:
    """Signal the first process, by a descriptor proved to be its own: numbers are used again.

    Raises:
        WrongState: it is gone.
    """
    try:
        pidfd = pidfd_open(container.pid)
    except ProcessLookupError:
        raise WrongState("container not running") from None
    try:
        if not is_alive(container.pid, int(container.record["start_time"])):
            raise WrongState("container not running")
        pidfd_send_signal(pidfd, signal)
    except ProcessLookupError:
        raise WrongState("container not running") from None
    finally:
        os.close(pidfd)


def _signal_all(container: Container, signal: int) -> None:
    cgroup = container.cgroup()
    if signal == 9:
        cgroup.kill()
        return
    for pid in cgroup.pids():
        try:
            os.kill(pid, signal)
        except ProcessLookupError:
            pass


def _has_own_pid_namespace(container: Container) -> bool:
    entries = (container.spec.get("linux") or {}).get("namespaces") or []
    return any(entry.get("type") == "pid" and not entry.get("path") for entry in entries)
