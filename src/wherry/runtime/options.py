"""Mount options: from the words of fstab to attributes, propagation and filesystem options.

Later words win over earlier ones.  A bind mount keeps the attributes of its source but for those that
a word sets or clears.

Spec: runtime-spec, config.md, Linux mount options.
"""

from __future__ import annotations

from wherry.linux import mount as m
from wherry.runtime.failures import InvalidSpec

# word: (attributes to set, attributes to clear)
_ATTRIBUTES: dict[str, tuple[int, int]] = {
    "ro": (m.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, m.MOUNT_ATTR_RDONLY),
    "nosuid": (m.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, m.MOUNT_ATTR_NOSUID),
    "nodev": (m.MOUNT_ATTR_NODEV, 0),
    "dev": (0, m.MOUNT_ATTR_NODEV),
    "noexec": (m.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, m.MOUNT_ATTR_NOEXEC),
    "nodiratime": (m.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, m.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (m.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, m.MOUNT_ATTR_NOSYMFOLLOW),
    # The three ways to keep access times exclude each other: the whole field is replaced.
    "noatime": (m.MOUNT_ATTR_NOATIME, m.MOUNT_ATTR_ATIME),
    "strictatime": (m.MOUNT_ATTR_STRICTATIME, m.MOUNT_ATTR_ATIME),
    "relatime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR_ATIME),
    "atime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR_ATIME),
    "norelatime": (m.MOUNT_ATTR_STRICTATIME, m.MOUNT_ATTR_ATIME),
    "nostrictatime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR_ATIME),
    "defaults": (
        0,
        m.MOUNT_ATTR_RDONLY | m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NODEV | m.MOUNT_ATTR_NOEXEC,
    ),
}  # fmt: skip
_RECURSIVE = {f"r{word}": change for word, change in _ATTRIBUTES.items() if word != "defaults"}

# word: (flags, recursively)
_PROPAGATION: dict[str, tuple[int, bool]] = {
    prefix + word: (flag, bool(prefix))
    for word, flag in (
        ("private", m.MS_PRIVATE),
        ("shared", m.MS_SHARED),
        ("slave", m.MS_SLAVE),
        ("unbindable", m.MS_UNBINDABLE),
    )
    for prefix in ("", "r")
}
# Words about the filesystem that every filesystem takes; the kernel parses them by these names.
_SUPERBLOCK = {"sync": "sync", "dirsync": "dirsync", "lazytime": "lazytime", "mand": "mand"}
_SUPERBLOCK_CLEARED = {"async": "sync", "nolazytime": "lazytime", "nomand": "mand"}
_IGNORED = {"remount", "silent", "loud", "iversion", "noiversion", "nofail", "_netdev"}

PROPAGATION_WORDS = tuple(_PROPAGATION)
KNOWN_WORDS = sorted(
    {*_ATTRIBUTES, *_RECURSIVE, *_PROPAGATION, *_SUPERBLOCK, *_SUPERBLOCK_CLEARED, *_IGNORED}
    | {"bind", "rbind"}
)


class MountOptions:
    """The options of one mount, sorted by what they act on."""

    __slots__ = (
        "attr_clr", "attr_set", "bind", "data", "propagation",
        "recursive_attr_clr", "recursive_attr_set", "recursive_bind",
    )  # fmt: skip

    def __init__(self) -> None:
        self.attr_set = 0
        self.attr_clr = 0
        self.recursive_attr_set = 0
        self.recursive_attr_clr = 0
        self.propagation: list[tuple[int, bool]] = []
        self.bind = False
        self.recursive_bind = False
        self.data: list[str] = []

    @property
    def read_only(self) -> bool:
        return bool(self.attr_set & m.MOUNT_ATTR_RDONLY)


def parse_options(words: list[str]) -> MountOptions:
    """The options that `words` mean; an unknown word belongs to the filesystem.

    Raises:
        InvalidSpec: a word of the specification that this runtime does not do.
    """
    options = MountOptions()
    for word in words:
        if word in _ATTRIBUTES:
            options.attr_set, options.attr_clr = _apply(_ATTRIBUTES[word], options.attr_set, options.attr_clr)
        elif word in _RECURSIVE:
            options.recursive_attr_set, options.recursive_attr_clr = _apply(
                _RECURSIVE[word], options.recursive_attr_set, options.recursive_attr_clr
            )
        elif word in _PROPAGATION:
            options.propagation.append(_PROPAGATION[word])
        elif word in ("bind", "rbind"):
            options.bind = True
            options.recursive_bind = word == "rbind"
        elif word in ("idmap", "ridmap"):
            raise InvalidSpec(f"mount option {word} is not supported")
        elif word in _SUPERBLOCK:
            options.data.append(_SUPERBLOCK[word])
        elif word in _SUPERBLOCK_CLEARED:
            options.data = [each for each in options.data if each != _SUPERBLOCK_CLEARED[word]]
        elif word not in _IGNORED:
            options.data.append(word)
    return options


def _apply(change: tuple[int, int], attr_set: int, attr_clr: int) -> tuple[int, int]:
    """`change` on top of what earlier words asked for."""
    to_set, to_clear = change
    return (attr_set & ~to_clear) | to_set, (attr_clr & ~to_set) | to_clear
