"""What the prune commands share: the question before, the report after."""

from __future__ import annotations

import os

from wherry.cli.failures import CommandFailed
from wherry.cli.filters import filters_query
from wherry.cli.flags import Flag
from wherry.cli.units import human_size
from wherry.client.failures import NotFoundResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from wherry.cli.session import Session

FORCE_FLAG = Flag("force", "bool", "Do not prompt for confirmation", short="f")
FILTER_FLAG = Flag("filter", "filter", 'Remove only what meets the condition (e.g. "until=<timestamp>")')


def confirm(session: Session, warning: str) -> None:
    """Ask; only `y` goes on.

    Raises:
        CommandFailed: without a message and with exit code 0, for any other answer.
    """
    session.out(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ")
    answer = b""
    while not answer.endswith(b"\n"):
        byte = os.read(session.stdin_fd, 1)
        if not byte:
            break
        answer += byte
    if answer.strip().lower() not in (b"y", b"yes"):
        raise CommandFailed("", 0)


def prune_query(session: Session, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The filters of the flags and of `pruneFilters` in the configuration."""
    configured = [
        (name, value)
        for name, equals, value in (
            str(text).partition("=") for text in session.config.values.get("pruneFilters") or []
        )
        if equals
    ]
    return filters_query([*pairs, *(pair for pair in configured if pair not in list(pairs))])


def prune_containers(session: Session, pairs: list[tuple[str, str]]) -> tuple[str, int]:
    """The report of the removed containers, and the bytes reclaimed."""
    answer = session.client.json("POST", "/containers/prune", query=prune_query(session, pairs))
    return _report("Deleted Containers:", answer.get("ContainersDeleted")), answer.get("SpaceReclaimed") or 0


def prune_networks(session: Session, pairs: list[tuple[str, str]]) -> tuple[str, int]:
    """The report of the removed networks; a daemon without networks of its own has none."""
    try:
        answer = session.client.json("POST", "/networks/prune", query=prune_query(session, pairs))
    except NotFoundResponse:
        return "", 0
    return _report("Deleted Networks:", answer.get("NetworksDeleted")), 0


def prune_volumes(session: Session, pairs: list[tuple[str, str]]) -> tuple[str, int]:
    """The report of the removed volumes, and the bytes reclaimed."""
    answer = session.client.json("POST", "/volumes/prune", query=prune_query(session, pairs))
    return _report("Deleted Volumes:", answer.get("VolumesDeleted")), answer.get("SpaceReclaimed") or 0


def prune_images(session: Session, pairs: list[tuple[str, str]], *, all_unused: bool) -> tuple[str, int]:
    """The report of the removed images, and the bytes reclaimed."""
    pairs = [*pairs, ("dangling", "false" if all_unused else "true")]
    answer = session.client.json("POST", "/images/prune", query=prune_query(session, pairs))
    lines = [_image_line(item) for item in answer.get("ImagesDeleted") or []]
    return _report("Deleted Images:", lines), answer.get("SpaceReclaimed") or 0


def _image_line(item: dict[str, Any]) -> str:
    return f"untagged: {item['Untagged']}" if item.get("Untagged") else f"deleted: {item.get('Deleted')}"


def _report(title: str, names: list[str] | None) -> str:
    return f"{title}\n" + "".join(f"{name}\n" for name in names) + "\n" if names else ""


def total(size: int) -> str:
    """The last line of a report."""
    return f"Total reclaimed space: {human_size(size)}\n"
