"""`container start`"""

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
from wherry.client.failures import ErrorResponse, NotModifiedResponse

COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        Flag("attach", "bool", "Attach STDOUT/STDERR and forward signals", short="a"),
        Flag("checkpoint", "string", "Restore from this checkpoint"),
        Flag("checkpoint-dir", "string", "Use a custom checkpoint storage directory"),
        Flag("detach-keys", "string", "Override the key sequence for detaching a container"),
        Flag("interactive", "bool", "Attach container's STDIN", short="i"),
    ),
    minimum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Start containers; with -a or -i a single one, and its exit code."""
    if options["attach"] or options["interactive"]:
        if len(arguments) > 1:
            raise CommandFailed("you cannot start and attach multiple containers at once")
        return _start_attached(session, options, arguments[0])
    if options["checkpoint"] and len(arguments) > 1:
        raise CommandFailed("you cannot restore multiple containers at once")
    failed = []
    for name in arguments:
        try:
            session.client.send("POST", f"/containers/{name}/start", query=_checkpoint(options))
        except NotModifiedResponse:
            pass
        except ErrorResponse as error:
            session.err(f"{error}\n")
            failed.append(name)
            continue
        session.line(name)
    if failed:
        raise CommandFailed(f"failed to start containers: {', '.join(failed)}")
    return 0


def _checkpoint(options: Options) -> list[tuple[str, str]]:
    pairs = (("checkpoint", options["checkpoint"]), ("checkpoint-dir", options["checkpoint-dir"]))
    return [(name, value) for name, value in pairs if value]


def _start_attached(session: Session, options: Options, name: str) -> int:
    container = session.client.json("GET", f"/containers/{name}/json")
    config = container["Config"]
    path = f"/containers/{container['Id']}"
    tty = bool(config.get("Tty"))
    stdin = bool(options["interactive"] and config.get("OpenStdin"))
    require_terminal(session, tty=tty, stdin=stdin)
    text = options["detach-keys"] or session.config.text("detachKeys")
    keys = parse_keys(text)
    removed = (container.get("HostConfig") or {}).get("AutoRemove")
    query = [("stream", "1"), ("stdout", "1"), ("stderr", "1")]
    query += [("stdin", "1")] * stdin + [("detachKeys", text)] * bool(text)
    with Handlers() as handlers:
        if not tty:
            handlers.proxy(session.client, container["Id"])
        condition = "removed" if removed else "next-exit"
        pending = session.client.begin("POST", f"{path}/wait", query=[("condition", condition)])
        try:
            hijacked = session.client.hijack(f"{path}/attach", query=query)

            def begin() -> None:
                pending.wait_accepted()
                session.client.send("POST", f"{path}/start", query=_checkpoint(options))
                if tty and is_terminal(session.stdout_fd):
                    follow_window(session, handlers, path)

            try:
                ended = converse(session, hijacked, tty=tty, stdin=stdin, keys=keys, begin=begin)
            except NotModifiedResponse:
                raise CommandFailed("") from None
            finally:
                hijacked.stream.close()
            return 0 if ended == DETACHED else exit_code(session, pending)
        finally:
            pending.close()
