"""Capabilities from a default, additions and drops."""

import pytest

from wherry.core.spec.capabilities import DEFAULT_CAPABILITIES, normalise, resolve_capabilities
from wherry.errors import InvalidArgument
from wherry.linux.capabilities import NAMES

ALL = frozenset(NAMES)


def test_names_are_taken_in_every_form() -> None:
    assert normalise(["net_admin", "CAP_KILL", "all", "CAP_ALL"]) == [
        "CAP_NET_ADMIN",
        "CAP_KILL",
        "ALL",
        "ALL",
    ]


def test_an_unknown_name_is_told_as_docker_does() -> None:
    with pytest.raises(InvalidArgument, match=r'^unknown capability: "CAP_NOPE"$'):
        resolve_capabilities(add=["nope"], available=ALL)


def test_the_default() -> None:
    assert resolve_capabilities(available=ALL) == list(DEFAULT_CAPABILITIES)


def test_drops_come_before_additions() -> None:
    chosen = resolve_capabilities(add=["NET_ADMIN", "KILL"], drop=["KILL", "CHOWN"], available=ALL)

    assert "CAP_CHOWN" not in chosen
    assert chosen[-2:] == ["CAP_NET_ADMIN", "CAP_KILL"]


def test_all_but_some_and_none_but_some() -> None:
    assert resolve_capabilities(add=["ALL"], drop=["SYS_ADMIN"], available=ALL) == [
        name for name in NAMES if name != "CAP_SYS_ADMIN"
    ]
    assert resolve_capabilities(add=["KILL"], drop=["ALL"], available=ALL) == ["CAP_KILL"]
    assert resolve_capabilities(drop=["ALL"], available=ALL) == []


def test_privileged_is_what_we_have_ourselves() -> None:
    ours = ALL - {"CAP_SYS_MODULE"}

    assert resolve_capabilities(privileged=True, drop=["KILL"], available=ours) == [
        n for n in NAMES if n in ours
    ]


def test_a_default_that_we_lack_is_left_out_and_an_asked_one_is_not() -> None:
    ours = ALL - {"CAP_MKNOD", "CAP_SYS_ADMIN"}

    chosen = resolve_capabilities(add=["SYS_ADMIN"], available=ours)

    assert "CAP_MKNOD" not in chosen
    assert "CAP_SYS_ADMIN" in chosen  # so that the start fails instead of giving less
