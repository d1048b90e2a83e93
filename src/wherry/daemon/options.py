"""dockerd's words: the table of options, the flags of a command line, and the configuration file.

An option has one name in both places; in the file, one that may be repeated has a plural name and a list.
What is given in both places is refused, as is a name that no option has.

Spec: dockerd(8); docker/cli's flag grammar (spf13/pflag); daemon.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from wherry.errors import InvalidArgument

Kind = Literal["string", "bool", "int", "bytes", "list", "map"]
Value = str | bool | int | list[str] | dict[str, str]
Given = dict[str, Value]

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
_UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Option(msgspec.Struct, frozen=True):
    """One option: its flag, its one-line help, and its name in the file where that differs."""

    name: str
    kind: Kind
    help: str
    short: str = ""
    key: str = ""
    in_file: bool = True

    @property
    def file_key(self) -> str:
        """The option's name in the configuration file."""
        return self.key or self.name

    @property
    def flags(self) -> str:
        """How its flags are written: `-H, --host`."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


OPTIONS = (
    Option("cgroup-parent", "string", "Set parent cgroup for all containers"),
    Option("config-file", "string", "Daemon configuration file", in_file=False),
    Option("data-root", "string", "Root directory of persistent state"),
    Option("debug", "bool", "Enable debug mode", short="D"),
    Option("default-cgroupns-mode", "string", "Default mode for containers cgroup namespace (host, private)"),
    Option("default-ipc-mode", "string", "Default mode for containers ipc (shareable, private)"),
    Option("default-shm-size", "bytes", "Default shm size for containers"),
    Option("default-ulimit", "list", "Default ulimits for containers", key="default-ulimits"),
    Option("dns", "list", "DNS server to use"),
    Option("dns-opt", "list", "DNS options to use", key="dns-opts"),
    Option("dns-search", "list", "DNS search domains to use"),
    Option("exec-root", "string", "Root directory for execution state files"),
    Option("group", "string", "Group for the unix socket", short="G"),
    Option("help", "bool", "Print usage", in_file=False),
    Option("host", "list", "Daemon socket(s) to connect to", short="H", key="hosts"),
    Option("idle-exit-s", "int", "End after so many seconds without containers and clients", in_file=False),
    Option("init", "bool", "Run an init in the container to forward signals and reap processes"),
    Option("insecure-registry", "list", "Registry to reach without TLS", key="insecure-registries"),
    Option("label", "list", "Set key=value labels to the daemon", key="labels"),
    Option("log-driver", "string", "Default driver for container logs"),
    Option("log-level", "string", "Set the logging level (debug, info, warn, error, fatal)", short="l"),
    Option("log-opt", "map", "Default log driver options for containers", key="log-opts"),
    Option("max-concurrent-downloads", "int", "Set the max concurrent downloads"),
    Option("max-concurrent-uploads", "int", "Set the max concurrent uploads"),
    Option("max-download-attempts", "int", "Set the max download attempts for each pull"),
    Option("no-new-privileges", "bool", "Set no-new-privileges by default for new containers"),
    Option("pidfile", "string", "Path to use for daemon PID file", short="p"),
    Option("profile", "string", "Defaults to use: docker's own, or wherry's safer ones"),
    Option("ready-fd", "int", "Descriptor to write a line to when clients are served", in_file=False),
    Option("registry-mirror", "list", "Preferred registry mirror", key="registry-mirrors"),
    Option("seccomp-profile", "string", "Path to seccomp profile"),
    Option("shutdown-timeout", "int", "Set the default shutdown timeout"),
    Option("storage-driver", "string", "Storage driver to use", short="s"),
    Option("tls", "bool", "Use TLS; implied by --tlsverify"),
    Option("tlscacert", "string", "Trust certs signed only by this CA"),
    Option("tlscert", "string", "Path to TLS certificate file"),
    Option("tlskey", "string", "Path to TLS key file"),
    Option("tlsverify", "bool", "Use TLS and verify the remote"),
    Option("validate", "bool", "Validate daemon configuration and exit", in_file=False),
    Option("version", "bool", "Print version information and quit", short="v", in_file=False),
)
_BY_FLAG = {f"--{option.name}": option for option in OPTIONS} | {
    f"-{option.short}": option for option in OPTIONS if option.short
}
_BY_KEY = {option.file_key: option for option in OPTIONS if option.in_file}


class BadFlag(InvalidArgument):
    """The command line is wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="See 'wherryd --help'.")


def parse_flags(words: Sequence[str]) -> Given:
    """The options on a command line: `--name value`, `--name=value`, `-N value`, `-Nvalue`, `--bool`.

    Raises:
        BadFlag: no such flag, no value, a value of the wrong form, or a word that belongs to none.
    """
    given: Given = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, value = _split_flag(word)
        if option.kind == "bool":
            value = "true" if value is None else value
        elif value is None:
            if not rest:
                raise BadFlag(f"flag needs an argument: {word}")
            value = rest.pop(0)
        try:
            _add(given, option, value)
        except ValueError as error:
            raise BadFlag(f'invalid argument "{value}" for "{option.flags}" flag: {error}') from None
    return given


def _split_flag(word: str) -> tuple[Option, str | None]:
    if not word.startswith("-") or word in ("-", "--"):
        raise BadFlag('"wherryd" accepts no argument(s)')
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        if name not in _BY_FLAG:
            raise BadFlag(f"unknown flag: {name}")
        return _BY_FLAG[name], value if equals else None
    option = _BY_FLAG.get(word[:2])
    if option is None:
        raise BadFlag(f"unknown shorthand flag: '{word[1]}' in {word}")
    return option, word[2:].removeprefix("=") or None


def _add(given: Given, option: Option, text: str) -> None:
    """Put the value that `text` names into `given`; a repeated one adds to a list or map."""
    value = _parse_value(option.kind, text)
    before = given.get(option.name)
    if isinstance(before, list) and isinstance(value, list):
        before += value
    elif isinstance(before, dict) and isinstance(value, dict):
        before.update(value)
    else:
        given[option.name] = value


def _parse_value(kind: Kind, text: str) -> Value:
    match kind:
        case "bool":
            if text not in _TRUE + _FALSE:
                raise ValueError(f'parsing "{text}": invalid syntax')
            return text in _TRUE
        case "int":
            return int(text)
        case "bytes":
            return parse_bytes(text)
        case "list":
            return [text]
        case "map":
            key, equals, value = text.partition("=")
            if not equals:
                raise ValueError(f"invalid key-value: {text}")
            return {key: value}
    return text


def parse_bytes(text: str) -> int:
    """The number of bytes in `64m`, `64MiB` or `67108864`.

    Raises:
        ValueError: none of these.
    """
    number = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:] in _UNITS else ""
    try:
        size = float(number.removesuffix(unit)) * _UNITS.get(unit, 1)
    except ValueError:
        raise ValueError(f"invalid size: '{text}'") from None
    if not 0 <= size < 1 << 63:
        raise ValueError(f"invalid size: '{text}'")
    return int(size)


def parse_file(document: bytes) -> Given:
    """The options in a configuration file.

    Raises:
        InvalidArgument: not a JSON object, a name that no option has, or a value of the wrong type.
    """
    if not document.strip():
        return {}
    try:
        members = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError as error:
        raise InvalidArgument(f"invalid JSON: {error}") from None
    unknown = sorted(members.keys() - _BY_KEY.keys())
    if unknown:
        names = ", ".join(unknown)
        raise InvalidArgument(f"the following directives don't match any configuration option: {names}")
    return {_BY_KEY[key].name: _file_value(_BY_KEY[key], raw) for key, raw in members.items()}


_FILE_TYPES: Mapping[Kind, type] = {
    "string": str,
    "bool": bool,
    "int": int,
    "bytes": int | str,  # type: ignore[dict-item]
    "list": list[str],
    "map": dict[str, str],
}


def _file_value(option: Option, raw: msgspec.Raw) -> Value:
    try:
        if option.name == "default-ulimit":
            return _file_ulimits(raw)
        value: Value = msgspec.json.decode(raw, type=_FILE_TYPES[option.kind])
        return parse_bytes(value) if option.kind == "bytes" and isinstance(value, str) else value
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidArgument(f"invalid value of {option.file_key}: {error}") from None


class _FileUlimit(msgspec.Struct, rename="pascal"):
    name: str
    hard: int
    soft: int


def _file_ulimits(raw: msgspec.Raw) -> list[str]:
    """In the file ulimits are objects by name; here they become what the flag takes."""
    ulimits = msgspec.json.decode(raw, type=dict[str, _FileUlimit])
    return [f"{ulimit.name}={ulimit.soft}:{ulimit.hard}" for ulimit in ulimits.values()]


def merge(flags: Given, file: Given) -> Given:
    """Both together.

    Raises:
        InvalidArgument: an option is in both.
    """
    both = sorted(flags.keys() & file.keys())
    if both:
        conflicts = ", ".join(
            f"{name}: (from flag: {_shown(flags[name])}, from file: {_shown(file[name])})" for name in both
        )
        raise InvalidArgument(
            "the following directives are specified both as a flag and in the configuration file: "
            + conflicts
        )
    return file | flags


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "[" + " ".join(value) + "]" if isinstance(value, list) else str(value)


def usage() -> str:
    """The text of --help."""
    kinds = {"bool": "", "map": " map"}
    rows = [
        (f"{'-' + o.short + ', ' if o.short else '    '}--{o.name}{kinds.get(o.kind, ' ' + o.kind)}", o.help)
        for o in OPTIONS
    ]
    width = max(len(flags) for flags, _ in rows)
    lines = [f"  {flags:{width}}   {text}" for flags, text in rows]
    head = ["", "Usage:  wherryd [OPTIONS]", "", "A self-sufficient runtime for containers.", "", "Options:"]
    return "\n".join([*head, *lines, ""])
