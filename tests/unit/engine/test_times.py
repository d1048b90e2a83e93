"""Times and durations in Docker's words."""

import pytest

from wherry.engine.times import (
    SECOND_NS,
    human_duration,
    parse_duration,
    parse_timestamp,
    rfc3339,
    rfc3339_fixed,
)
from wherry.errors import InvalidArgument

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "Less than a second"), (0.9, "Less than a second"), (1, "1 second"), (59, "59 seconds"),
        (MINUTE, "About a minute"), (2 * MINUTE - 1, "About a minute"), (59 * MINUTE, "59 minutes"),
        (HOUR, "About an hour"), (1.4 * HOUR, "About an hour"), (1.5 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"), (13 * DAY, "13 days"), (14 * DAY, "2 weeks"), (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"), (729 * DAY, "24 months"), (730 * DAY, "2 years"), (1100 * DAY, "3 years"),
    ],
)  # fmt: skip
def test_human_durations(seconds: float, text: str) -> None:
    assert human_duration(int(seconds * SECOND_NS)) == text


def test_instants_in_text() -> None:
    assert rfc3339(0) == "0001-01-01T00:00:00Z"
    assert rfc3339(1_700_000_000 * SECOND_NS) == "2023-11-14T22:13:20Z"
    assert rfc3339(1_700_000_000 * SECOND_NS + 120) == "2023-11-14T22:13:20.00000012Z"
    assert rfc3339_fixed(1_700_000_000 * SECOND_NS) == "2023-11-14T22:13:20.000000000Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1700000000", 1_700_000_000 * SECOND_NS),
        ("1700000000.5", 1_700_000_000 * SECOND_NS + 500_000_000),
        ("1700000000.1234567891", 1_700_000_000 * SECOND_NS + 123_456_789),
        ("2023-11-14T22:13:20Z", 1_700_000_000 * SECOND_NS),
        ("2023-11-14T23:13:20.25+01:00", 1_700_000_000 * SECOND_NS + 250_000_000),
        ("2023-11-14", 1_699_920_000 * SECOND_NS),
        ("1h30m", 10**18 - 5400 * SECOND_NS),
    ],
)
def test_timestamps(text: str, expected: int) -> None:
    assert parse_timestamp(text, now_ns=10**18) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "1.2.3", "2023-13-01", "1h x", "-5", "٣"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_timestamp(text, now_ns=0)


def test_durations() -> None:
    assert parse_duration("1.5s") == 1_500_000_000
    assert parse_duration("2m3ms") == 120_003_000_000
    assert parse_duration("5") is None
