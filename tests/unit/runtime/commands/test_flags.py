"""runc's flags."""

import pytest

from wherry.errors import InvalidArgument
from wherry.runtime.commands.flags import BOOLEAN, LIST, NUMBER, STRING, Flags, parse_flags, take_id
from wherry.runtime.commands.update import parse_size

TABLE: Flags = {
    "bundle": (STRING, "", "b"),
    "force": (BOOLEAN, False, "f"),
    "env": (LIST, None, "e"),
    "preserve-fds": (NUMBER, 0, ""),
}


@pytest.mark.parametrize(
    "words", [["--bundle", "x"], ["--bundle=x"], ["-b", "x"], ["-b=x"], ["-bundle", "x"], ["-bundle=x"]]
)
def test_a_value_is_given_in_many_ways(words: list[str]) -> None:
    values, rest = parse_flags(TABLE, [*words, "id"])

    assert (values["bundle"], rest) == ("x", ["id"])


def test_the_first_word_that_is_no_flag_ends_them() -> None:
    values, rest = parse_flags(TABLE, ["-e", "A=1", "--env=B=2", "id", "ls", "-f", "--", "x"])

    assert values["env"] == ["A=1", "B=2"]
    assert not values["force"]
    assert rest == ["id", "ls", "-f", "--", "x"]


@pytest.mark.parametrize(("word", "value"), [("--force", True), ("-f=false", False), ("--force=1", True)])
def test_a_boolean_takes_a_value_only_with_an_equals_sign(word: str, value: bool) -> None:
    values, rest = parse_flags(TABLE, [word, "id"])

    assert (values["force"], rest) == (value, ["id"])


@pytest.mark.parametrize("words", [["--what"], ["--bundle"], ["--force=maybe"], ["--preserve-fds", "many"]])
def test_what_is_no_flag_or_value_is_refused(words: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        parse_flags(TABLE, words)


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_one_id_is_wanted(arguments: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        take_id(arguments)


@pytest.mark.parametrize(
    ("text", "size"),
    [("-1", -1), ("4096", 4096), ("64k", 65536), ("64KiB", 65536), ("1G", 1 << 30), ("2mb", 2 << 20)],
)
def test_a_size_has_a_unit_or_none(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "-2", "1x", "1.5g", "1kk"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_size(text)
