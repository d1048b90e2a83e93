"""`container port`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Options, quoted
from wherry.cli.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command("CONTAINER [PRIVATE_PORT[/PROTO]]", minimum=1, maximum=2)


def run(session: Session, _options: Options, arguments: list[str]) -> int:
    """List the published ports of a container, or where one of them is published."""
    name = arguments[0]
    document = session.client.json("GET", f"/containers/{name}/json")
    ports: dict[str, Any] = (document.get("NetworkSettings") or {}).get("Ports") or {}
    if len(arguments) == 1:
        lines = [
            f"{port} -> {_address(binding)}" for port, bindings in ports.items() for binding in bindings or ()
        ]
        session.out("".join(f"{line}\n" for line in sorted(lines, key=natural_key)))
        return 0
    port, _, protocol = arguments[1].partition("/")
    if not port.isdecimal() or int(port) > 65535:
        raise CommandFailed(
            f"invalid port ({port}): strconv.ParseUint: parsing {quoted(port)}: invalid syntax"
        )
    wanted = f"{port}/{protocol or 'tcp'}"
    bindings = ports.get(wanted)
    if not bindings:
        raise CommandFailed(f"no public port '{wanted}' published for {name}")
    session.out("".join(f"{line}\n" for line in sorted((_address(b) for b in bindings), key=natural_key)))
    return 0


def _address(binding: dict[str, str]) -> str:
    host = binding.get("HostIp") or ""
    return f"{f'[{host}]' if ':' in host else host}:{binding.get('HostPort') or ''}"


def natural_key(line: str) -> list[tuple[int, int, str]]:
    """A key that orders numbers inside a line by their value."""
    parts: list[tuple[int, int, str]] = []
    run = ""
    for c in [*line, ""]:
        if run and (not c or c.isdigit() != run[-1].isdigit()):
            parts.append((0, int(run), "") if run[0].isdigit() else (1, 0, run))
            run = ""
        run += c
    return parts
