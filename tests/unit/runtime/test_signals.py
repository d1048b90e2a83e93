"""Signals by name."""

import pytest

from wherry.errors import InvalidArgument
from wherry.runtime.signals import parse_signal


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", 15),
        ("term", 15),
        ("9", 9),
        ("KILL", 9),
        ("RTMIN", 34),
        ("SIGRTMIN+2", 36),
        ("RTMAX-1", 63),
        ("64", 64),
    ],
)
def test_a_signal_has_many_names(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-9", "SIGNOPE", "SIG", "RTMIN+99", "RTMAX+1", "RTMIN+", "٣", "+9"]
)
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="unknown signal"):
        parse_signal(text)
