"""A container's streams on our terminal: what run, start, attach and exec share."""

from __future__ import annotations

from wherry.cli.conversation import Conversation
from wherry.cli.detach import DetachFilter
from wherry.cli.terminal import RawTerminal, is_terminal, window_size
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.cli.session import Session
    from wherry.cli.signals import Handlers
    from wherry.client.api import Hijacked


def converse(
    session: Session, hijacked: Hijacked, *, tty: bool, stdin: bool, keys: bytes, begin: Callable[[], None]
) -> str:
    """Carry bytes until the end; with a terminal in raw mode where the container has one.

    `begin` runs once the terminal is raw and before the first byte: the place to start what
    has been attached to.  The result is that of `Conversation.run`.
    """
    interactive = tty and stdin and is_terminal(session.stdin_fd)
    conversation = Conversation(
        hijacked,
        input_fd=session.stdin_fd if stdin else -1,
        stdout_fd=session.stdout_fd,
        stderr_fd=session.stderr_fd,
        framed=not tty,
        detach=DetachFilter(keys) if stdin and tty else None,
    )
    with RawTerminal(session.stdin_fd if interactive else -1):
        begin()
        return conversation.run()


def follow_window(session: Session, handlers: Handlers, path: str) -> None:
    """Give the window's size to `path`/resize, now and whenever it changes.

    A failure is not one of the command: the process may be gone, or not have begun.
    """
    client = session.client.fork()

    def resize() -> None:
        size = window_size(session.stdout_fd)
        if size is None:
            return
        other = client.fork()
        try:
            query = [("h", str(size[0])), ("w", str(size[1]))]
            other.send("POST", f"{path}/resize", query=query)
        except (WherryError, OSError):
            pass
        finally:
            other.close()

    handlers.on_resize(resize)
    resize()
