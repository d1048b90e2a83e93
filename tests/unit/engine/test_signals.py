"""Signals by every name Docker takes."""

import pytest

from wherry.engine.signals import parse_signal, stop_signal
from wherry.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "number"), [("KILL", 9), ("sigterm", 15), ("SIGUSR1", 10), ("1", 1), ("64", 64), ("RTMIN+3", 37)]
)
def test_known(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "NOPE", "SIG_DFL", "0", "9x", "RTMIN+99"])
def test_unknown(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid signal: "):
        parse_signal(text)


@pytest.mark.parametrize("text", ["65", "-1"])
def test_no_such_number(text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^the linux daemon does not support signal {text}$"):
        parse_signal(text)


def test_an_unreadable_stop_signal_is_sigterm() -> None:
    assert [stop_signal(text) for text in ("", "bogus", "INT")] == [15, 15, 2]
