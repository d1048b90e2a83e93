"""pflag's grammar, case by case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.cli.failures import DeprecatedHelp, FlagError, HelpWanted
from wherry.cli.flags import Flag, parse, parse_bool
from wherry.cli.values import (
    parse_bytes,
    parse_cpus,
    parse_duration,
    parse_integer,
    parse_strings,
    parse_swap,
)

FLAGS = (
    Flag("rm", "bool", ""),
    Flag("interactive", "bool", "", short="i"),
    Flag("tty", "bool", "", short="t"),
    Flag("detach", "bool", "", short="d"),
    Flag("sig-proxy", "bool", "", default=True),
    Flag("name", "string", ""),
    Flag("env", "list", "", short="e"),
    Flag("memory", "bytes", "", short="m"),
    Flag("last", "int", "", short="n", default=-1),
    Flag("network", "list", ""),
    Flag("net", "list", "", hidden=True, target="network"),
)


@pytest.mark.parametrize(
    ("words", "given", "rest"),
    [
        ([], {}, []),
        (["--rm", "a"], {"rm": True}, ["a"]),
        (["--rm=false", "a"], {"rm": False}, ["a"]),
        (["--rm", "false"], {"rm": True}, ["false"]),
        (["-it", "a"], {"interactive": True, "tty": True}, ["a"]),
        (["-itd"], {"interactive": True, "tty": True, "detach": True}, []),
        (["-it=false"], {"interactive": True, "tty": False}, []),
        (["--sig-proxy=0"], {"sig-proxy": False}, []),
        (["-e", "A=b", "-eC=d", "-e=E=f", "--env=G=h"], {"env": ["A=b", "C=d", "E=f", "G=h"]}, []),
        (["-ite", "A=b"], {"interactive": True, "tty": True, "env": ["A=b"]}, []),
        (["--name", "x", "--name=y"], {"name": "y"}, []),
        (["--name", "--rm"], {"name": "--rm"}, []),
        (["--name="], {"name": ""}, []),
        (["-n3", "-m", "1k"], {"last": 3, "memory": 1024}, []),
        (["--net", "a", "--network", "b"], {"network": ["a", "b"]}, []),
        (["a", "--rm", "b"], {"rm": True}, ["a", "b"]),
        (["a", "--", "--rm"], {}, ["a", "--rm"]),
        (["-", "a"], {}, ["-", "a"]),
        (["--name", "-"], {"name": "-"}, []),
    ],
)
def test_flags_are_read_as_pflag_reads_them(
    words: list[str], given: dict[str, object], rest: list[str]
) -> None:
    options, arguments = parse(FLAGS, words)

    assert {name: options[name] for name in options.given} == given
    assert arguments == rest


def test_flags_end_at_the_first_argument_where_another_command_follows() -> None:
    options, arguments = parse(FLAGS, ["-i", "image", "ls", "-t", "--rm", "--", "x"], interspersed=False)

    assert options.given == {"interactive"}
    assert arguments == ["image", "ls", "-t", "--rm", "--", "x"]


def test_what_is_not_given_has_its_default() -> None:
    options, _ = parse(FLAGS, [])

    assert (options["rm"], options["sig-proxy"], options["name"], options["env"]) == (False, True, "", [])
    assert options["last"] == -1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--x"], "unknown flag: --x"),
        (["--x=1"], "unknown flag: --x"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-ixt"], "unknown shorthand flag: 'x' in -xt"),
        (["---rm"], "bad flag syntax: ---rm"),
        (["--=x"], "bad flag syntax: --=x"),
        (["--name"], "flag needs an argument: --name"),
        (["-ie"], "flag needs an argument: 'e' in -e"),
        (
            ["--rm=maybe"],
            'invalid argument "maybe" for "--rm" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (
            ["-n", "x"],
            'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (["-m", "1x"], 'invalid argument "1x" for "-m, --memory" flag: invalid suffix: \'x\''),
        (["--rm", "--", "--x", "-n"], None),
    ],
)
def test_what_pflag_refuses_is_refused_in_its_words(words: list[str], message: str | None) -> None:
    if message is None:
        parse(FLAGS, words)
        return
    with pytest.raises(FlagError) as caught:
        parse(FLAGS, words)
    assert str(caught.value) == message


def test_help_wins_over_missing_arguments_but_not_over_a_wrong_flag() -> None:
    with pytest.raises(HelpWanted):
        parse(FLAGS, ["a", "--help"])
    with pytest.raises(DeprecatedHelp):
        parse(FLAGS, ["-h"])
    with pytest.raises(FlagError):
        parse(FLAGS, ["--help", "--x"])
    assert parse(FLAGS, ["--help=false", "a"])[1] == ["a"]


@given(st.lists(st.text(alphabet="-=abitrmen x", max_size=8), max_size=6))
def test_any_words_are_parsed_or_refused(words: list[str]) -> None:
    try:
        _, rest = parse(FLAGS, words)
    except (FlagError, HelpWanted):
        return
    assert all(word in words for word in rest)


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_true_has_six_spellings(text: str) -> None:
    assert parse_bool(text) is True


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("42", 42), ("-1", -1), ("+5", 5), ("0x10", 16), ("010", 8), ("0b11", 3), ("1_000", 1000)],
)
def test_integers_have_gos_prefixes(text: str, value: int) -> None:
    assert parse_integer(text) == value


@pytest.mark.parametrize("text", ["", "x", "1.5", " 1", "09", "1__0", "9223372036854775808"])
def test_other_integers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"strconv\.ParseInt"):
        parse_integer(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64", 64),
        ("1k", 1024),
        ("1K", 1024),
        ("1kb", 1024),
        ("1KiB", 1024),
        ("1.5g", 1610612736),
        ("2 m", 2097152),
        ("7b", 7),
        ("1t", 1 << 40),
    ],
)
def test_sizes_are_binary(text: str, value: int) -> None:
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "x", "-1", "1kk", "1bb", "1x", "1kib5x"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid|strconv"):
        parse_bytes(text)


def test_swap_may_be_unlimited() -> None:
    assert (parse_swap("-1"), parse_swap("1k")) == (-1, 1024)


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("1.5", 1_500_000_000),
        (".5", 500_000_000),
        ("2", 2_000_000_000),
        ("1/4", 250_000_000),
        ("0.000000001", 1),
    ],
)
def test_cpus_are_counted_in_billionths(text: str, nano: int) -> None:
    assert parse_cpus(text) == nano


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "rational number"),
        ("", "rational number"),
        ("1/0", "rational"),
        ("1/3", "too precise"),
        ("0.0000000001", "too precise"),
    ],
)
def test_other_cpus_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_cpus(text)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("5s", 5_000_000_000),
        ("1m30s", 90_000_000_000),
        ("1.5h", 5_400_000_000_000),
        ("-2ms", -2_000_000),
        ("100us", 100_000),
        ("100µs", 100_000),
        (".5s", 500_000_000),
    ],
)
def test_durations_are_gos(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("5", 'time: missing unit in duration "5"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'),
        ("s", 'time: invalid duration "s"'),
        ("1.2.3s", 'time: invalid duration "1.2.3s"'),
    ],
)
def test_other_durations_are_refused_in_gos_words(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == message


def test_a_list_of_strings_is_one_record_of_csv() -> None:
    assert parse_strings('a,"b,c","d""e"') == ["a", "b,c", 'd"e']
    with pytest.raises(ValueError, match="column 2: bare"):
        parse_strings('a"b')
