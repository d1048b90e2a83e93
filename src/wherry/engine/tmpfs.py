"""Options of a tmpfs: Docker's guarded defaults, and what the user put in their place.

Spec: tmpfs(5); moby's pkg/mount for which options are taken.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.errors import InvalidArgument

DEFAULT_OPTIONS = ("noexec", "nosuid", "nodev")
_OPPOSITES = {
    "noexec": "exec",
    "nosuid": "suid",
    "nodev": "dev",
    "ro": "rw",
    "noatime": "atime",
    "nodiratime": "diratime",
    "norelatime": "relatime",
    "nostrictatime": "strictatime",
    "async": "sync",
    "nomand": "mand",
}
_GROUPS = {word: off for off, on in _OPPOSITES.items() for word in (off, on)} | {"defaults": "defaults"}
_VALUES = frozenset({"mode", "uid", "gid", "size", "nr_inodes", "nr_blocks", "mpol"})


def tmpfs_options(words: Iterable[str]) -> tuple[str, ...]:
    """The defaults and `words`, each option once: of contradicting ones the last counts.

    Raises:
        InvalidArgument: not an option of tmpfs.
    """
    chosen = {_GROUPS[word]: word for word in DEFAULT_OPTIONS}
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in _VALUES and value:
            chosen[key] = word
        elif not equals and word in _GROUPS:
            chosen[_GROUPS[word]] = word
        else:
            raise InvalidArgument(f'invalid tmpfs option ["{word}"]')
    chosen.pop("defaults", None)
    return tuple(chosen.values())
