"""Times and durations as Docker writes them.

Instants are integers, nanoseconds since 1970; 0 means "never" and is Go's zero time on the
wire.
"""

from __future__ import annotations

import re
import time
from calendar import timegm

from wherry.errors import InvalidArgument

SECOND_NS = 1_000_000_000
_DURATION_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9})\d*)?)?)?(Z|z|[+-]\d\d:\d\d)?"
)


def rfc3339(instant_ns: int) -> str:
    """`instant_ns` as RFC 3339 in UTC with up to nine digits of fraction, as Go's RFC3339Nano."""
    if instant_ns == 0:
        return "0001-01-01T00:00:00Z"
    seconds, fraction = divmod(instant_ns, SECOND_NS)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


def rfc3339_fixed(instant_ns: int) -> str:
    """`instant_ns` as RFC 3339 in UTC with all nine digits, as log lines show it."""
    seconds, fraction = divmod(instant_ns, SECOND_NS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z"


def parse_timestamp(text: str, *, now_ns: int) -> int:
    """The instant that `text` names: Unix seconds with a fraction, RFC 3339, or a Go duration ago.

    Raises:
        InvalidArgument: none of these.
    """
    seconds, _, fraction = text.partition(".")
    if (
        seconds.isascii()
        and seconds.isdigit()
        and (not fraction or (fraction.isascii() and fraction.isdigit()))
    ):
        return int(seconds) * SECOND_NS + int(f"{fraction:0<9.9}" if fraction else 0)
    match = _RFC3339.fullmatch(text)
    if match is not None:
        return _instant(text, *match.groups(default=""))
    ago = parse_duration(text)
    if ago is None:
        raise InvalidArgument(f"failed to parse value as time or duration: value out of range: {text!r}")
    return now_ns - ago


def parse_duration(text: str) -> int | None:
    """Nanoseconds of a Go duration such as `1h30m`; None when it is not one."""
    position, total = 0, 0.0
    for match in _DURATION_PART.finditer(text):
        if match.start() != position:
            return None
        total += float(match[1]) * _DURATION_UNITS_NS[match[2]]
        position = match.end()
    return int(total) if text and position == len(text) else None


def _instant(text: str, *fields: str) -> int:
    year, month, day, hour, minute, second, fraction, zone = fields
    numbers = [int(field or 0) for field in (year, month, day, hour, minute, second)]
    if not (1 <= numbers[1] <= 12 and 1 <= numbers[2] <= 31 and numbers[3] < 24 and numbers[4] < 60):
        raise InvalidArgument(f'parsing time "{text}": value out of range')
    seconds = timegm((*numbers, 0, 0, 0))
    if zone not in {"", "Z", "z"}:
        offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        seconds -= offset if zone[0] == "+" else -offset
    return seconds * SECOND_NS + int(f"{fraction:0<9}" if fraction else 0)


def human_duration(duration_ns: int) -> str:
    """`duration_ns` as `docker ps` says it: "About an hour", "3 weeks".

    Spec: docker/go-units, HumanDuration.
    """
    seconds = int(duration_ns / SECOND_NS)
    minutes = int(duration_ns / (60 * SECOND_NS))
    hours = int(duration_ns / (3600 * SECOND_NS) + 0.5)
    if seconds < 60:
        return {0: "Less than a second", 1: "1 second"}.get(max(seconds, 0), f"{seconds} seconds")
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(duration_ns / (3600 * SECOND_NS)) // 24 // 365} years"
