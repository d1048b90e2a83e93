"""`container run`: create, attach, wait, start, and the container's exit code as ours.

Attach and wait come before start, so that no output and no exit is missed.  The calls that the
user waits for are as few as that order allows.
"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.attachment import converse, follow_window
from wherry.cli.container.creation import create_container, prepare_body
from wherry.cli.container.options import RUN_FLAGS, USAGE
from wherry.cli.conversation import DETACHED
from wherry.cli.detach import parse_keys
from wherry.cli.failures import NOT_EXECUTABLE, NOT_FOUND, OPTION_FAILED, CommandFailed
from wherry.cli.flags import Options
from wherry.cli.session import Session
from wherry.cli.signals import Handlers
from wherry.cli.terminal import is_terminal, window_size
from wherry.client.failures import ConnectionFailed, ErrorResponse
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.client.api import Hijacked, Pending

COMMAND = Command(USAGE, RUN_FLAGS, minimum=1, interspersed=False)
_NOT_FOUND = (
    "executable file not found",
    "no such file or directory",
    "system cannot find the file specified",
)
_NOT_EXECUTABLE = ("permission denied", "is a directory")


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Run a container and return its exit code."""
    try:
        body = prepare_body(session, options, arguments)
    except CommandFailed as error:
        raise _failed(error) from None
    if options["detach"]:
        if options["attach"]:
            raise CommandFailed("conflicting options: cannot specify both --attach and --detach")
        body |= {"AttachStdin": False, "AttachStdout": False, "AttachStderr": False, "StdinOnce": False}
    else:
        require_terminal(session, tty=options["tty"], stdin=body["AttachStdin"])
        size = window_size(session.stdout_fd) if options["tty"] else None
        if size:
            body["HostConfig"]["ConsoleSize"] = list(size)
    detach_keys = options["detach-keys"] or session.config.text("detachKeys")
    parse_keys(detach_keys)  # refused before anything is created
    try:
        container_id = _created(session, options, body)
        return _Run(session, options, body, container_id, detach_keys).run()
    except (ErrorResponse, ConnectionFailed) as error:
        raise _failed(error) from None


def _created(session: Session, options: Options, body: dict[str, Any]) -> str:
    try:
        return create_container(session, options, body)
    except CommandFailed as error:
        raise _failed(error) from None


def require_terminal(session: Session, *, tty: bool, stdin: bool) -> None:
    """A container's terminal wants one of ours as its input.

    Raises:
        CommandFailed: standard input is none.
    """
    if tty and stdin and not is_terminal(session.stdin_fd):
        raise CommandFailed("cannot attach stdin to a TTY-enabled container because stdin is not a terminal")


class _Run:
    """One created container, from attach to its exit."""

    def __init__(
        self, session: Session, options: Options, body: dict[str, Any], container_id: str, detach_keys: str
    ) -> None:
        self._session = session
        self._options = options
        self._body = body
        self._id = container_id
        self._detach_keys = detach_keys
        self._path = f"/containers/{container_id}"

    def run(self) -> int:
        """Start it; the exit code of our process."""
        body, session = self._body, self._session
        streams = [name for name in ("stdin", "stdout", "stderr") if body[f"Attach{name.capitalize()}"]]
        if not streams:
            session.client.send("POST", f"{self._path}/start")
            session.line(self._id)
            return 0
        with Handlers() as handlers:
            if self._options["sig-proxy"]:
                handlers.proxy(session.client, self._id)
            condition = "removed" if self._options["rm"] else "next-exit"
            pending = session.client.begin("POST", f"{self._path}/wait", query=[("condition", condition)])
            try:
                hijacked = self._attach(streams)
                return self._attached(handlers, hijacked, pending, streams)
            finally:
                pending.close()

    def _attach(self, streams: list[str]) -> Hijacked:
        query = [("stream", "1"), *((name, "1") for name in streams)]
        if self._detach_keys:
            query.append(("detachKeys", self._detach_keys))
        return self._session.client.hijack(f"{self._path}/attach", query=query)

    def _attached(self, handlers: Handlers, hijacked: Hijacked, pending: Pending, streams: list[str]) -> int:
        session, tty = self._session, self._options["tty"]

        def begin() -> None:
            pending.wait_accepted()
            self._start(pending)
            if tty and is_terminal(session.stdout_fd):
                follow_window(session, handlers, self._path)

        try:
            ended = converse(
                session,
                hijacked,
                tty=tty,
                stdin="stdin" in streams,
                keys=parse_keys(self._detach_keys),
                begin=begin,
            )
        finally:
            hijacked.stream.close()
        return 0 if ended == DETACHED else exit_code(session, pending)

    def _start(self, pending: Pending) -> None:
        try:
            self._session.client.send("POST", f"{self._path}/start")
        except ErrorResponse:
            if self._options["rm"]:
                pending.json()  # the engine removes it; the name is free when we return
            raise


def exit_code(session: Session, pending: Pending) -> int:
    """The exit code that a wait reports; 125 when it reports a failure."""
    answer = pending.json()
    failure = (answer.get("Error") or {}).get("Message")
    if failure:
        session.err(f"Error waiting for container: {failure}\n")
        return OPTION_FAILED
    code: int = answer["StatusCode"]
    return code


def _failed(error: WherryError) -> CommandFailed:
    """A failure of run itself: 125, or 127 and 126 when the engine could not execute the command."""
    text = str(error)
    status = OPTION_FAILED
    if isinstance(error, ErrorResponse):
        if any(words in text for words in _NOT_FOUND):
            status = NOT_FOUND
        elif any(words in text for words in _NOT_EXECUTABLE):
            status = NOT_EXECUTABLE
    return CommandFailed(
        f"wherry: {text}\n\nRun 'wherry run --help' for more information", status, hint=error.hint
    )
