"""Looking at an exec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.engine.detach_keys import parse_detach_keys
from wherry.engine.exec.record import find_exec

if TYPE_CHECKING:
    from wherry.engine.engine import Engine


async def inspect_exec(engine: Engine, exec_id: str) -> dict[str, Any]:
    """What an exec is and how it ended; `ExitCode` is null until then.

    Raises:
        NotFound: no such exec.
    """
    found = find_exec(engine, exec_id)
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
