"""`container attach`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.attachment import converse, follow_window
from wherry.cli.container.run import exit_code, require_terminal
from wherry.cli.conversation import DETACHED
from wherry.cli.detach import parse_keys
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.session import Session
from wherry.cli.signals import Handlers
from wherry.cli.terminal import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "[OPTIONS] CONTAINER",
    (
        Flag("detach-keys", "string", "Override the key sequence for detaching a container"),
        Flag("no-stdin", "bool", "Do not attach STDIN"),
        Flag("sig-proxy", "bool", "Proxy all received signals to the process", default=True),
    ),
    minimum=1,
    maximum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Attach to a running container; its exit code, or 0 after the detach keys."""
    container = session.client.json("GET", f"/containers/{arguments[0]}/json")
    _require_running(container["State"])
    config = container["Config"]
    tty, stdin = bool(config.get("Tty")), bool(config.get("OpenStdin")) and not options["no-stdin"]
    require_terminal(session, tty=tty, stdin=stdin)
    text = options["detach-keys"] or session.config.text("detachKeys")
    keys = parse_keys(text)
    path = f"/containers/{container['Id']}"
    query = [("stream", "1"), ("stdout", "1"), ("stderr", "1")]
    query += [("stdin", "1")] * stdin + [("detachKeys", text)] * bool(text)
    with Handlers() as handlers:
        if options["sig-proxy"] and not tty:
            handlers.proxy(session.client, container["Id"])
        pending = session.client.begin("POST", f"{path}/wait")
        try:
            hijacked = session.client.hijack(f"{path}/attach", query=query)

            def begin() -> None:
                if tty and is_terminal(session.stdout_fd):
                    follow_window(session, handlers, path)

            try:
                ended = converse(session, hijacked, tty=tty, stdin=stdin, keys=keys, begin=begin)
            finally:
                hijacked.stream.close()
            return 0 if ended == DETACHED else exit_code(session, pending)
        finally:
            pending.close()


def _require_running(state: dict[str, Any]) -> None:
    if not state.get("Running"):
        raise CommandFailed("cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise CommandFailed("cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise CommandFailed("cannot attach to a restarting container, wait until it is running")
