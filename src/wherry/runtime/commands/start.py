"""start: let the program of a created container go."""

from __future__ import annotations

from wherry.diagnostics.faults import fault_point
from wherry.runtime import hooks, sync
from wherry.runtime.commands.bundle import start_error
from wherry.runtime.commands.flags import Flags, Options, take_id
from wherry.runtime.container import Container
from wherry.runtime.failures import StartFailed, WrongState

FLAGS: Flags = {}


def run(options: Options, arguments: list[str]) -> int:
    with Container.load(options["root"], take_id(arguments)) as container:
        status = container.status()
        if status == "stopped":
            raise WrongState("cannot start a container that has stopped")
        channel = container.knock()
        if channel is None:
            raise WrongState("cannot start an already running container")
        fault_point("runtime.start.knocked")
        try:
            sync.await_execve(channel)
        except StartFailed as error:
            raise start_error("start", error) from error
        finally:
            channel.close()
        fault_point("runtime.start.released")
        container.remove_gate()
        state = hooks.state_document(
            container.id,
            status="running",
            pid=container.pid,
            bundle=container.record["bundle"],
            annotations=container.spec.get("annotations") or {},
        )
        poststart = (container.spec.get("hooks") or {}).get("poststart") or []
        hooks.run_hooks_leniently("poststart", poststart, state)
    return 0
