"""`container exec`"""

from __future__ import annotations

import time

from wherry.cli.commands import Command
from wherry.cli.container.attachment import converse, follow_window
from wherry.cli.container.environment import read_environment
from wherry.cli.container.flag_values import parse_env
from wherry.cli.container.run import require_terminal
from wherry.cli.conversation import DETACHED
from wherry.cli.detach import parse_keys
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.session import Session
from wherry.cli.signals import Handlers
from wherry.cli.terminal import is_terminal, window_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _EXIT_TIMEOUT_S = 0.001, 0.1, 10.0
COMMAND = Command(
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    (
        Flag("detach", "bool", "Detached mode: run command in the background", short="d"),
        Flag("detach-keys", "string", "Override the key sequence for detaching a container"),
        Flag("env", "list", "Set environment variables", short="e", parse=parse_env),
        Flag("env-file", "list", "Read in a file of environment variables"),
        Flag("interactive", "bool", "Keep STDIN open even if not attached", short="i"),
        Flag("privileged", "bool", "Give extended privileges to the command"),
        Flag("tty", "bool", "Allocate a pseudo-TTY", short="t"),
        Flag("user", "string", 'Username or UID (format: "<name|uid>[:<group|gid>]")', short="u"),
        Flag("workdir", "string", "Working directory inside the container", short="w"),
    ),
    minimum=2,
    interspersed=False,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Run a command in a running container and return its exit code."""
    name, *command = arguments
    tty, stdin = options["tty"], options["interactive"]
    text = options["detach-keys"] or session.config.text("detachKeys")
    keys = parse_keys(text)
    body = _body(options, command, text)
    if not options["detach"]:
        require_terminal(session, tty=tty, stdin=stdin)
    size = window_size(session.stdout_fd) if tty else None
    if size:
        body["ConsoleSize"] = list(size)
    answer = session.client.json("POST", f"/containers/{name}/exec", body=body)
    exec_id = answer.get("Id")
    if not exec_id:
        raise CommandFailed("exec ID empty")
    start = {"Detach": options["detach"], "Tty": tty}
    if size:
        start["ConsoleSize"] = list(size)
    if options["detach"]:
        session.client.send("POST", f"/exec/{exec_id}/start", body=start)
        return 0
    return _converse(session, f"/exec/{exec_id}", start, tty=tty, stdin=stdin, keys=keys)


def _body(options: Options, command: list[str], detach_keys: str) -> dict[str, Any]:
    attached = not options["detach"]
    body: dict[str, Any] = {
        "User": options["user"],
        "Privileged": options["privileged"],
        "Tty": options["tty"],
        "AttachStdin": attached and options["interactive"],
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Env": read_environment(options["env-file"], options["env"]),
        "WorkingDir": options["workdir"],
        "Cmd": command,
    }
    if detach_keys:
        body["DetachKeys"] = detach_keys
    return body


def _converse(
    session: Session, path: str, start: dict[str, Any], *, tty: bool, stdin: bool, keys: bytes
) -> int:
    with Handlers() as handlers:
        hijacked = session.client.hijack(f"{path}/start", body=start)

        def begin() -> None:
            if tty and is_terminal(session.stdout_fd):
                follow_window(session, handlers, path)

        try:
            ended = converse(session, hijacked, tty=tty, stdin=stdin, keys=keys, begin=begin)
        finally:
            hijacked.stream.close()
    if ended == DETACHED:
        return 0
    return _exit_code(session, path)


def _exit_code(session: Session, path: str) -> int:
    """The command's exit code.

    The end of its output can be seen a moment before its exit is: a daemon that still calls it
    running is asked again.
    """
    pause_s = _FIRST_PAUSE_S
    deadline = time.monotonic() + _EXIT_TIMEOUT_S
    while True:
        state = session.client.json("GET", f"{path}/json")
        if not state.get("Running") and state.get("ExitCode") is not None:
            return int(state["ExitCode"])
        if time.monotonic() > deadline:
            raise CommandFailed("the output of the command has ended, but the command has not")
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
