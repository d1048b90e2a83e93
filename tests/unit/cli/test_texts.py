"""Durations, sizes, tables, times, progress: the texts that scripts compare."""

import time

import pytest

from wherry.cli.inspection import indent
from wherry.cli.progress import progress_text
from wherry.cli.tables import align, display_width, ellipsis, truncate_id
from wherry.cli.timestamps import format_rfc3339, parse_rfc3339, to_query
from wherry.cli.units import bytes_size, human_duration, human_size

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (59 * MINUTE, "59 minutes"),
        (60 * MINUTE, "About an hour"),
        (89 * MINUTE, "About an hour"),
        (90 * MINUTE, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
    ],
)
def test_durations_have_one_unit(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "precision", "text"),
    [
        (0, 3, "0B"),
        (999, 3, "999B"),
        (1000, 3, "1kB"),
        (1234567, 3, "1.23MB"),
        (1234567, 4, "1.235MB"),
        (999600, 3, "1e+03kB"),
        (187654321, 3, "188MB"),
        (2**60, 4, "1.153EB"),
    ],
)
def test_sizes_are_decimal(size: int, precision: int, text: str) -> None:
    assert human_size(size, precision) == text


def test_memory_is_binary() -> None:
    assert (bytes_size(2097152000), bytes_size(1023)) == ("1.953GiB", "1023B")


def test_columns_are_at_least_ten_wide_and_end_where_a_line_has_none() -> None:
    text = "A\tB\tC\nlonger than ten\tx\ty\n"

    assert align(text) == "A                 B         C\nlonger than ten   x         y\n"
    assert align("a\tb\nplain\nlonger cell here\tb\n") == "a         b\nplain\nlonger cell here   b\n"
    assert align("") == ""


def test_wide_characters_take_two_columns() -> None:
    assert display_width("日本") == 4
    assert align("日本\tx\n") == "日本      x\n"
    assert ellipsis("日本語日本語", 5) == "日本…"
    assert ellipsis("abcdef", 6) == "abcdef"


def test_ids_are_shown_with_twelve_characters() -> None:
    assert truncate_id("sha256:" + "a" * 64) == "a" * 12
    assert truncate_id("b" * 64) == "b" * 12


def test_times_keep_their_nanoseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        moment = parse_rfc3339("2026-01-02T03:04:05.678901234Z")
        assert moment == 1767323045678901234
        assert format_rfc3339(moment) == "2026-01-02T04:04:05.678901234+01:00"
        assert parse_rfc3339("2026-01-02T04:04:05.678901234+01:00") == moment
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("1767323045", "1767323045"),
        ("1767323045.5", "1767323045.5"),
        ("10m", "400"),
        ("2026-01-02T03:04:05Z", "1767323045.000000000"),
        ("2026-01-02T03:04:05.5+01:00", "1767319445.500000000"),
        ("2026-01-02T03:04Z", "1767323040.000000000"),
    ],
)
def test_since_and_until_take_dockers_forms(text: str, query: str) -> None:
    assert to_query(text, now_ns=1000 * 10**9) == query


@pytest.mark.parametrize("text", ["", "foo", "2026-13-01", "2026-01-02T25:00", "10"[:0] + "1x"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="failed to parse value as time or duration"):
        to_query(text)


def test_a_bar_is_drawn_where_it_fits() -> None:
    half = {"current": 500, "total": 1000}

    assert progress_text(half, 200) == "[" + "=" * 25 + ">" + " " * 25 + "]     500B/1kB"
    assert progress_text(half, 80) == "    500B/1kB"
    assert progress_text({"current": 3, "units": "s"}, 200) == "3 s"
    assert progress_text({"current": 1000}, 200) == "     1kB"
    assert progress_text({}, 200) == ""


def test_json_is_indented_token_by_token() -> None:
    document = '[{"a":1e3,"b":[],"c":{ },"d":["x,:{\\"","\\u003c"],"e":null}]'

    assert indent(document, "    ") == (
        "[\n    {\n"
        '        "a": 1e3,\n        "b": [],\n        "c": {},\n'
        '        "d": [\n            "x,:{\\"",\n            "\\u003c"\n        ],\n        "e": null\n'
        "    }\n]"
    )
    assert indent('{ "a" : [ 1, 2 ] }', None) == '{"a":[1,2]}'
