"""Mount options."""

import pytest

from wherry.linux import mount as m
from wherry.runtime.options import KNOWN_WORDS, parse_options


def test_an_unknown_word_goes_to_the_filesystem() -> None:
    options = parse_options(["size=4k", "nosuid", "weird"])

    assert options.data == ["size=4k", "weird"]
    assert options.attr_set == m.MOUNT_ATTR_NOSUID


@pytest.mark.parametrize(
    ("words", "attr_set", "attr_clr"),
    [
        (["ro"], m.MOUNT_ATTR_RDONLY, 0),
        (["ro", "rw"], 0, m.MOUNT_ATTR_RDONLY),
        (["rw", "ro"], m.MOUNT_ATTR_RDONLY, 0),
        (["noatime"], m.MOUNT_ATTR_NOATIME, m.MOUNT_ATTR_ATIME & ~m.MOUNT_ATTR_NOATIME),
        (["noatime", "strictatime"], m.MOUNT_ATTR_STRICTATIME, m.MOUNT_ATTR_ATIME),
    ],
)
def test_the_last_word_wins(words: list[str], attr_set: int, attr_clr: int) -> None:
    options = parse_options(words)

    assert options.attr_set == attr_set
    assert options.attr_clr & m.MOUNT_ATTR_RDONLY == attr_clr & m.MOUNT_ATTR_RDONLY


def test_setting_one_way_to_keep_access_times_clears_the_whole_field() -> None:
    """The kernel refuses a change of that field whose mask is not complete."""
    for word in ("noatime", "relatime", "strictatime"):
        options = parse_options([word])

        assert options.attr_clr & m.MOUNT_ATTR_ATIME == m.MOUNT_ATTR_ATIME


@pytest.mark.parametrize(
    ("word", "flag", "recursive"),
    [
        ("private", m.MS_PRIVATE, False),
        ("rprivate", m.MS_PRIVATE, True),
        ("rshared", m.MS_SHARED, True),
        ("slave", m.MS_SLAVE, False),
        ("runbindable", m.MS_UNBINDABLE, True),
    ],
)
def test_propagation_is_kept_apart_from_attributes(word: str, flag: int, recursive: bool) -> None:
    assert parse_options(["rbind", word]).propagation == [(flag, recursive)]


def test_recursive_attributes_are_kept_apart() -> None:
    options = parse_options(["rbind", "rro", "nodev"])

    assert (options.recursive_attr_set, options.attr_set) == (m.MOUNT_ATTR_RDONLY, m.MOUNT_ATTR_NODEV)
    assert options.bind
    assert options.recursive_bind


def test_every_known_word_is_understood() -> None:
    for word in KNOWN_WORDS:
        assert word not in parse_options([word]).data or word in ("sync", "dirsync", "lazytime", "mand")
