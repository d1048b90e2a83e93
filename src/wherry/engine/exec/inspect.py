"""Looking at an exec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.engine.detach_keys import parse_detach_keys
from wherry.engine.exec.record import find_exec
from wherry.errors import WherryError

if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.engine.exec.record import Exec


async def inspect_exec(engine: Engine, exec_id: str) -> dict[str, Any]:
    """What an exec is and how it ended; `ExitCode` is null until then.

    Raises:
        NotFound: no such exec.
    """
    found = find_exec(engine, exec_id)
    if found.state == "running":
        await _catch_up(found)
    config = found.record.config
    keys = list(parse_detach_keys(config.detach_keys)) if config.detach_keys else []
    return {
        "ID": found.id,
        "Running": found.state == "running",
        "ExitCode": found.exit_code,
        "ProcessConfig": {
            "tty": config.tty,
            "entrypoint": found.record.args[0],
            "arguments": found.record.args[1:],
            "privileged": config.privileged,
            **({"user": config.user} if config.user else {}),
        },
        "OpenStdin": config.attach_stdin,
        "OpenStderr": config.attach_stderr,
        "OpenStdout": config.attach_stdout,
        "CanRemove": False,
        "ContainerID": found.container.id,
        "DetachKeys": bytes(keys).hex(),
        "Pid": found.pid,
    }


async def _catch_up(found: Exec) -> None:
    """Take in an exit that the shim has already told.

    A client asks for the exit code once it sees the end of the output, on another connection,
    and may be quicker than the shim's message.  The shim tells the exit before it ends the
    output, so after one answer of the shim the exit is here.
    """
    task = found.container.task
    if task is None or found.pid == 0:
        return
    try:
        await task.log_position()
        if task.exec_exited(found.id).done():
            await found.ended.wait()
    except WherryError:
        pass  # the task has just gone
