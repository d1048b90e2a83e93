"""Dockerfile lines on an image config."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.core.transfer.changes import apply_changes, parse_duration_ns
from wherry.core.transfer.words import expand, split_words
from wherry.errors import InvalidArgument


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["CMD echo hi"], {"Cmd": ["/bin/sh", "-c", "echo hi"]}),
        (['CMD ["echo", "hi"]'], {"Cmd": ["echo", "hi"]}),
        (["cmd []"], {"Cmd": []}),
        (['ENTRYPOINT ["/x"]'], {"Entrypoint": ["/x"]}),
        (["CMD a", "ENTRYPOINT b"], {"Entrypoint": ["/bin/sh", "-c", "b"]}),
        (["ENV A=1 B=2", "ENV A=3"], {"Env": ["A=3", "B=2"]}),
        (["ENV A all the rest"], {"Env": ["A=all the rest"]}),
        (["ENV A=x", "ENV B=$A/${A}y C='$A' D=\"$A z\""], {"Env": ["A=x", "B=x/xy", "C=$A", "D=x z"]}),
        (["ENV B=${A:-d} C=${A:+e} D=a\\ b"], {"Env": ["B=d", "C=", "D=a b"]}),
        (["LABEL a=b 'c d'=\"e f\""], {"Labels": {"a": "b", "c d": "e f"}}),
        (
            ["EXPOSE 80 53/udp 8000-8002/TCP"],
            {"ExposedPorts": {"53/udp": {}, "80/tcp": {}, "8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {}}},
        ),
        (["VOLUME /a /b", 'VOLUME ["/c d"]'], {"Volumes": {"/a": {}, "/b": {}, "/c d": {}}}),
        (["USER 1000:1000"], {"User": "1000:1000"}),
        (["WORKDIR /a", "WORKDIR b/../c"], {"WorkingDir": "/a/c"}),
        (["STOPSIGNAL SIGRTMIN+3"], {"StopSignal": "SIGRTMIN+3"}),
        (["ONBUILD RUN make"], {"OnBuild": ["RUN make"]}),
        (["HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
        (
            ["HEALTHCHECK --interval=1m30s --retries=3 CMD curl x"],
            {"Healthcheck": {"Test": ["CMD-SHELL", "curl x"], "Interval": 90 * 10**9, "Retries": 3}},
        ),
        (['HEALTHCHECK CMD ["a"]'], {"Healthcheck": {"Test": ["CMD", "a"]}}),
        (["ENV A=1\nUSER x", "# comment", ""], {"Env": ["A=1"], "User": "x"}),
        (["ENV A=1 \\\n B=2"], {"Env": ["A=1", "B=2"]}),
    ],
)
def test_a_change_does_what_the_builder_does(changes: list[str], expected: dict[str, Any]) -> None:
    assert apply_changes({}, changes) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("RUN make", "RUN is not a valid change command"),
        ("FROM x", "FROM is not a valid change command"),
        ("NONSENSE x", "dockerfile parse error on line 1: unknown instruction: NONSENSE"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", "can't find = in 'B'"),
        ("ENV =1", "ENV names can not be blank"),
        ("ENV A='x", "unterminated quote"),
        ("ENV A=${x", "unterminated brace|unsupported modifier"),
        ("ENV A=${x?y}", "unsupported modifier"),
        ("EXPOSE http", "invalid containerPort: http"),
        ("EXPOSE 0", "invalid containerPort"),
        ("EXPOSE 70000", "invalid containerPort"),
        ("EXPOSE 9-1", "invalid containerPort"),
        ("EXPOSE 1/ip", "invalid containerPort"),
        ("USER a b", "USER requires exactly one argument"),
        ("ONBUILD ONBUILD x", "Chaining ONBUILD"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK RUN x", "Unknown type 'RUN' in HEALTHCHECK"),
        ("HEALTHCHECK --interval=1 CMD x", "invalid duration"),
        ("HEALTHCHECK --retries=-1 CMD x", "invalid HEALTHCHECK option"),
        ("STOPSIGNAL a;b", "invalid signal"),
    ],
)
def test_a_wrong_change_is_refused(change: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        apply_changes({}, [change])


def test_the_given_config_stays_as_it_was() -> None:
    process = {"Env": ["A=1"], "Cmd": ["x"]}

    changed = apply_changes(process, ["ENV A=2", "CMD y"])

    assert process == {"Env": ["A=1"], "Cmd": ["x"]}
    assert changed["Env"] == ["A=2"]


def test_variables_do_not_grow_without_bound() -> None:
    lines = ["ENV A=" + "x" * 1000] + [f"ENV A={'$A' * 20}"] * 5

    with pytest.raises(InvalidArgument, match="too long"):
        apply_changes({}, lines)


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("1s", 10**9), ("1h2m3.5s", 3723_500_000_000), ("5ms", 5_000_000)]
)
def test_durations_are_go_s(text: str, expected: int) -> None:
    assert parse_duration_ns(text) == expected


@pytest.mark.parametrize("text", ["", "1", "-1s", "1x", "s", ".s", "1..2s", "1ns", "9" * 30 + "h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_duration_ns(text)


@given(st.text(alphabet="abc $\\", max_size=20))
def test_a_single_quoted_word_is_taken_as_it_is(text: str) -> None:
    assert expand(f"'{text}'", {"a": "x"}) == text


@given(st.text(alphabet="ab'\"\\ ${}:-+", max_size=30))
def test_no_line_makes_it_fail_otherwise(line: str) -> None:
    try:
        for word in split_words(line):
            expand(word, {"a": "x"})
    except InvalidArgument:
        pass
