"""Mounts: how a snapshot becomes a root file system, as a value.

A store of snapshots answers with mounts and never mounts anything itself; the shim does, as
a detached descriptor.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """One mount, in the words of mount(8).

    For `overlay` the options hold `lowerdir=` (topmost first, parted by colons), and for a
    writable one `upperdir=` and `workdir=`; a colon or a backslash inside a path is escaped by a
    backslash, as the kernel reads it.  For `bind` the source is a directory and the options
    hold `rbind` with `ro` or `rw`.
    """

    type: str
    source: str
    options: tuple[str, ...] = ()


def bind(source: str, *, read_only: bool) -> Mount:
    """The directory `source` itself as a root."""
    return Mount(type="bind", source=source, options=("ro" if read_only else "rw", "rbind"))


def overlay(
    lower: Sequence[str], *, upper: str | None = None, work: str | None = None, options: Sequence[str] = ()
) -> Mount:
    """`lower` directories, topmost first, under `upper` if there is one."""
    parts = [f"lowerdir={':'.join(escape(path) for path in lower)}"]
    if upper is not None and work is not None:
        parts += [f"upperdir={escape(upper)}", f"workdir={escape(work)}"]
    return Mount(type="overlay", source="overlay", options=(*options, *parts))


def lower_directories(mount: Mount) -> list[str]:
    """The lower directories of an overlay, topmost first and without escapes."""
    value = next((o.partition("=")[2] for o in mount.options if o.startswith("lowerdir=")), "")
    paths: list[str] = [""]
    escaped = False
    for letter in value:
        if not escaped and letter in ":\\":
            escaped = letter == "\\"
            if letter == ":":
                paths.append("")
            continue
        paths[-1] += letter
        escaped = False
    return [path for path in paths if path]


def escape(path: str) -> str:
    """`path` as it stands in an overlay's options."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
