"""API versions: which ones are served, and how a path and a client's number become one.

A version is a pair of numbers and compares as one: (1, 9) < (1, 40).

Spec: Docker Engine API, version negotiation; texts of dockerd's version middleware.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument

Version = tuple[int, int]

OLDEST: Version = (1, 40)
NEWEST: Version = (1, 56)


def to_text(version: Version) -> str:
    """`version` as it stands in paths and headers: `1.44`."""
    return f"{version[0]}.{version[1]}"


def split_path(path: str) -> tuple[str | None, str]:
    """The version named by the first segment of `path` without its `v`, or None, and the path after it."""
    if path[:2] != "/v":
        return None, path
    segment, slash, rest = path[2:].partition("/")
    if not slash or not segment or not segment[0].isdigit() or segment.strip("0123456789."):
        return None, path
    return segment, "/" + rest


def parse(text: str) -> Version:
    """The version that `text` (`1.44`) names.

    Raises:
        InvalidArgument: not a version number.
    """
    parts = text.split(".")
    if not 1 <= len(parts) <= 3 or not all(part.isdecimal() and len(part) < 6 for part in parts):
        raise InvalidArgument(f"invalid API version: {text}")
    numbers = [int(part) for part in parts]
    return numbers[0], numbers[1] if len(numbers) > 1 else 0


def negotiate(text: str | None, *, oldest: Version = OLDEST, newest: Version = NEWEST) -> Version:
    """The version to answer in: the one asked for, or the newest when none was.

    Raises:
        InvalidArgument: below the oldest or above the newest one served.
    """
    if text is None:
        return newest
    version = parse(text)
    if version < oldest:
        raise InvalidArgument(
            f"client version {text} is too old. Minimum supported API version is {to_text(oldest)}, "
            "please upgrade your client to a newer version"
        )
    if version > newest:
        raise InvalidArgument(
            f"client version {text} is too new. Maximum supported API version is {to_text(newest)}"
        )
    return version
