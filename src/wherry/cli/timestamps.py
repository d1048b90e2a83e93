"""Times: RFC 3339 both ways, and the forms of `--since` and `--until`.

A time is an integer of nanoseconds since 1970, so that nothing the daemon sends is rounded.
"""

from __future__ import annotations

import time

from wherry.cli.values import parse_duration

SECOND_NS = 1_000_000_000


def _days_since_epoch(year: int, month: int, day: int) -> int:
    """Days of the proleptic Gregorian calendar; years begin in March, so the leap day comes last."""
    year -= month <= 2
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719468


def parse_rfc3339(text: str) -> int:
    """Nanoseconds since 1970 of `2006-01-02T15:04:05.999999999Z` or with an offset.

    Raises:
        ValueError: another form.
    """
    date, separator, clock = text.partition("T")
    if not separator:
        raise ValueError(f'"{text}" is no RFC 3339 time')
    offset = 0
    if clock.endswith(("Z", "z")):
        clock = clock[:-1]
    else:
        place = max(clock.rfind("+"), clock.rfind("-"))
        if place < 0:
            raise ValueError(f'"{text}" is no RFC 3339 time')
        hours, _, minutes = clock[place + 1 :].partition(":")
        offset = (int(hours) * 60 + int(minutes)) * 60 * (-1 if clock[place] == "-" else 1)
        clock = clock[:place]
    seconds, _, fraction = clock.partition(".")
    whole = _wall_clock(date, seconds) - offset
    return whole * SECOND_NS + int((fraction + "000000000")[:9])


def _wall_clock(date: str, clock: str) -> int:
    """Seconds since 1970 of a date and a time of day, both in UTC."""
    year, month, day = (int(part) for part in date.split("-"))
    parts = [int(part) for part in clock.split(":")] if clock else []
    hour, minute, second = (*parts, 0, 0, 0)[:3]
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        raise ValueError(f'"{date}T{clock}" is out of range')
    return _days_since_epoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second


def format_local(seconds: int) -> str:
    """Go's `2006-01-02 15:04:05 -0700 MST` in local time."""
    local = time.localtime(seconds)
    return time.strftime("%Y-%m-%d %H:%M:%S %z ", local) + (local.tm_zone or "UTC")


def format_rfc3339(nanoseconds: int) -> str:
    """Local time with nine digits of fraction and a numeric offset."""
    seconds, fraction = divmod(nanoseconds, SECOND_NS)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + f".{fraction:09d}{zone}"


def to_query(text: str, now_ns: int | None = None) -> str:
    """A `--since` or `--until` value as the API takes it: seconds, or seconds and nanoseconds.

    Forms: a Go duration before now, RFC 3339 or a part of it in local time, unix seconds.

    Raises:
        ValueError: none of them.
    """
    if _is_unix(text):
        return text
    now = time.time_ns() if now_ns is None else now_ns
    try:
        moment = now - parse_duration(text)
        return f"{moment // SECOND_NS}"
    except ValueError:
        pass
    moment = _parse_partial(text)
    return f"{moment // SECOND_NS}.{moment % SECOND_NS:09d}"


def _is_unix(text: str) -> bool:
    seconds, point, fraction = text.partition(".")
    return seconds.isdecimal() and (not point or fraction.isdecimal())


def _parse_partial(text: str) -> int:
    """RFC 3339, or its beginning down to the hour, in local time unless it names an offset."""
    clock = text.partition("T")[2]
    try:
        if clock.endswith(("Z", "z")) or "+" in clock or "-" in clock:
            if clock.endswith(("Z", "z")) and len(clock) < 9:
                return _wall_clock(text[:10], clock[:-1]) * SECOND_NS
            return parse_rfc3339(text)
        date, _, rest = text.partition("T")
        seconds, _, fraction = rest.partition(".")
        wall = time.gmtime(_wall_clock(date, seconds))
        moment = int(time.mktime((*wall[:8], -1)))
        return moment * SECOND_NS + int((fraction + "000000000")[:9])
    except (ValueError, OverflowError):
        raise ValueError(f'failed to parse value as time or duration: "{text}"') from None
