"""delete: remove a container that has stopped, or, with --force, any."""

from __future__ import annotations

import time

from wherry.diagnostics.faults import fault_point
from wherry.linux.process import is_alive
from wherry.runtime import launch
from wherry.runtime.commands.flags import BOOLEAN, Options, take_id
from wherry.runtime.container import Container
from wherry.runtime.failures import ContainerNotFound, WrongState

FLAGS = {"force": (BOOLEAN, False, "f")}

_DEATH_DEADLINE_S = 10.0


def run(options: Options, arguments: list[str]) -> int:
    container_id = take_id(arguments)
    try:
        container = Container.load(options["root"], container_id)
    except ContainerNotFound:
        if options["force"]:
            return 0
        raise
    with container:
        status = container.status()
        if status not in ("stopped", "created") and not options["force"]:
            raise WrongState(f"cannot delete container {container_id} that is not stopped: {status}")
        remove_container(container)
    return 0


def remove_container(container: Container) -> None:
    """End whatever runs in the container and remove all that the runtime made for it."""
    cgroup = container.cgroup()
    cgroup.kill()  # also what a create that was cut off has left
    _wait_death(container)
    fault_point("runtime.delete.killed")
    cgroup.delete()
    fault_point("runtime.delete.cgroup-removed")
    container.remove()
    launch.run_poststop(container.spec, container_id=container.id, bundle=container.record["bundle"])


def _wait_death(container: Container) -> None:
    """Wait for the first process to end; its parent may be slow to reap, so a zombie is enough."""
    deadline = time.monotonic() + _DEATH_DEADLINE_S
    while container.pid and is_alive(container.pid, int(container.record["start_time"])):
        if time.monotonic() > deadline:
            raise WrongState(f"container {container.id} does not die")
        time.sleep(0.001)
