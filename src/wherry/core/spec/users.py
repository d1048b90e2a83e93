"""The user of a process, from what the image's passwd and group files say.

One parser for create, start and exec.  Digits are always a number and never a name, so that
a passwd line cannot turn "2147483648" into root (CVE-2024-40635); names that begin like
a number are refused for the same reason.

    passwd  name:password:uid:gid:comment:home:shell
    group   name:password:gid:member,member

Spec: passwd(5), group(5); texts of moby/sys/user.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from wherry.errors import InvalidArgument

MAXIMUM_ID = 2**31 - 1
FILE_LIMIT = 4 * 1024 * 1024
_RANGE_TEXT = f"uids and gids must be in range 0-{MAXIMUM_ID}"


class User(msgspec.Struct, kw_only=True, frozen=True):
    """Who a process runs as; `additional_gids` begins with the primary one, as the kernel's check wants."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = (0,)
    home: str = "/"


class _Account(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: list[str]


def resolve_user(user: str, *, passwd: bytes, group: bytes, group_add: tuple[str, ...] = ()) -> User:
    """The user that `name`, `uid`, `name:group` and the like mean; empty is root.

    Raises:
        InvalidArgument: no such user or group, or a number out of range.
    """
    who, _, which = user.partition(":")
    uid = _number(who) if who else 0
    account = next(
        (a for a in _accounts(passwd) if (a.uid == uid if uid is not None else a.name == who)), None
    )
    if account is None and uid is None:
        raise InvalidArgument(f"unable to find user {who}: no matching entries in passwd file")
    if account is None:
        account = _Account("", uid or 0, 0, "/")
    groups = list(_groups(group))
    gid = _gid(which, groups) if which else account.gid
    belongs = [] if which else [g.gid for g in groups if account.name and account.name in g.members]
    added = [_gid(name, groups) for name in group_add]
    return User(
        uid=account.uid,
        gid=gid,
        additional_gids=tuple(dict.fromkeys([gid, *belongs, *added])),
        home=account.home or "/",
    )


def _gid(name: str, groups: list[_Group]) -> int:
    gid = _number(name)
    if gid is not None:
        return gid
    found = next((g for g in groups if g.name == name), None)
    if found is None:
        raise InvalidArgument(f"unable to find group {name}: no matching entries in group file")
    return found.gid


def _number(text: str) -> int | None:
    """The id that `text` is; None when it is a name.

    Raises:
        InvalidArgument: a number out of range, or what only looks like a number.
    """
    digits = text[1:] if text[:1] in {"+", "-"} else text
    if digits.isascii() and digits.isdigit():
        if digits is not text or len(digits) > 10 or int(digits) > MAXIMUM_ID:
            raise InvalidArgument(_RANGE_TEXT)
        return int(digits)
    if not text or digits is not text or text[0].isdigit() or not text.isprintable():
        raise InvalidArgument(f"unable to find user {text!a}: no matching entries in passwd file")
    return None


def _accounts(passwd: bytes) -> Iterator[_Account]:
    for fields in _lines(passwd):
        if (
            len(fields) >= 4
            and (uid := _field(fields[2])) is not None
            and (gid := _field(fields[3])) is not None
        ):
            yield _Account(fields[0], uid, gid, fields[5] if len(fields) > 5 else "")


def _groups(group: bytes) -> Iterator[_Group]:
    for fields in _lines(group):
        if len(fields) >= 3 and (gid := _field(fields[2])) is not None:
            yield _Group(fields[0], gid, fields[3].split(",") if len(fields) > 3 else [])


def _lines(data: bytes) -> Iterator[list[str]]:
    for line in data[:FILE_LIMIT].split(b"\n"):
        text = line.decode("utf-8", "surrogateescape").strip()
        if text and not text.startswith("#"):
            yield text.split(":")


def _field(text: str) -> int | None:
    """An id inside the files; a line with a bad one is no line."""
    return (
        int(text)
        if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAXIMUM_ID
        else None
    )
