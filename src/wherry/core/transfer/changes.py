"""Changes: Dockerfile lines that alter an image config, for import and commit.

Spec: `docker import --change`, `docker commit --change`; Dockerfile reference.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from wherry.core.transfer.words import expand, split_words
from wherry.errors import InvalidArgument

SHELL = ["/bin/sh", "-c"]
_PROTOCOLS = ("tcp", "udp", "sctp")
_DURATION_NS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_BUILD_ONLY = frozenset(("ADD", "ARG", "COPY", "FROM", "MAINTAINER", "RUN", "SHELL"))
Config = dict[str, Any]


def apply_changes(process: Config, changes: Iterable[str]) -> Config:
    """A copy of the `config` object of an image config, altered by Dockerfile lines.

    Raises:
        InvalidArgument: an unknown instruction, or wrong arguments of one.
    """
    changed: Config = msgspec.json.decode(msgspec.json.encode(process))
    for number, line in enumerate(_logical_lines(changes), 1):
        name, _, arguments = line.replace("\t", " ").partition(" ")
        instruction = name.upper()
        if instruction in _BUILD_ONLY:
            raise InvalidArgument(f"{instruction} is not a valid change command")
        handler = _HANDLERS.get(instruction)
        if handler is None:
            raise InvalidArgument(f"dockerfile parse error on line {number}: unknown instruction: {name}")
        if not arguments.strip():
            raise InvalidArgument(f"{instruction} requires at least one argument")
        handler(changed, arguments.strip())
    return changed


def _logical_lines(changes: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for change in changes:
        joined = change.replace("\\\r\n", " ").replace("\\\n", " ")
        lines += [line.strip() for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _variables(config: Config) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or [])


def json_form(arguments: str) -> list[str] | None:
    """The strings of the JSON form, or None where it is the shell form."""
    try:
        return msgspec.json.decode(arguments, type=list[str])
    except (msgspec.DecodeError, RecursionError):
        return None


def _command(config: Config, key: str, arguments: str) -> None:
    words = json_form(arguments)
    if words is None:
        config[key] = [*(config.get("Shell") or SHELL), arguments]
    else:
        config[key] = words


def _cmd(config: Config, arguments: str) -> None:
    _command(config, "Cmd", arguments)


def _entrypoint(config: Config, arguments: str) -> None:
    _command(config, "Entrypoint", arguments)
    config.pop("Cmd", None)  # the base image's command is not meant for a new entry point


def _pairs(config: Config, arguments: str, instruction: str) -> dict[str, str]:
    """`KEY=value ...`, or the old form `KEY all the rest`."""
    words = split_words(arguments)
    variables = _variables(config)
    if "=" not in words[0]:
        key, _, rest = arguments.partition(" ")
        if not rest.strip():
            raise InvalidArgument(f"{instruction} must have two arguments")
        return {expand(key, variables): expand(rest.strip(), variables)}
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidArgument(f"Syntax error - can't find = in {word!r}. Must be of the form: name=value")
        if not (name := expand(key, variables)):
            raise InvalidArgument(f"{instruction} names can not be blank")
        pairs[name] = expand(value, variables)
    return pairs


def _env(config: Config, arguments: str) -> None:
    env = list(config.get("Env") or [])
    for key, value in _pairs(config, arguments, "ENV").items():
        places = [i for i, entry in enumerate(env) if entry.partition("=")[0] == key]
        if places:
            env[places[0]] = f"{key}={value}"
        else:
            env.append(f"{key}={value}")
    config["Env"] = env


def _label(config: Config, arguments: str) -> None:
    config["Labels"] = (config.get("Labels") or {}) | _pairs(config, arguments, "LABEL")


def _expose(config: Config, arguments: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in split_words(arguments):
        for port in _ports(expand(word, _variables(config))):
            ports[port] = {}
    config["ExposedPorts"] = dict(sorted(ports.items()))


def _ports(text: str) -> list[str]:
    """`8080`, `53/udp` or `8000-8010/tcp` as single ports."""
    numbers, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    first, dash, last = numbers.partition("-")
    last = last if dash else first
    is_valid = all(part.isascii() and part.isdigit() and len(part) < 6 for part in (first, last))
    if protocol not in _PROTOCOLS or not is_valid or not 0 < int(first) <= int(last) < 65536:
        raise InvalidArgument(f"invalid containerPort: {text}")
    return [f"{number}/{protocol}" for number in range(int(first), int(last) + 1)]


def _volume(config: Config, arguments: str) -> None:
    words = json_form(arguments)
    if words is None:
        words = [expand(word, _variables(config)) for word in split_words(arguments)]
    if not all(words):
        raise InvalidArgument("VOLUME specified can not be an empty string")
    config["Volumes"] = (config.get("Volumes") or {}) | {word: {} for word in words}


def _user(config: Config, arguments: str) -> None:
    config["User"] = _one(config, arguments, "USER")


def _workdir(config: Config, arguments: str) -> None:
    path = expand(arguments, _variables(config))
    base = config.get("WorkingDir") or "/"
    config["WorkingDir"] = posixpath.normpath(posixpath.join("/", base, path))


def _stopsignal(config: Config, arguments: str) -> None:
    signal = _one(config, arguments, "STOPSIGNAL")
    if not signal.replace("+", "").replace("-", "").isalnum():
        raise InvalidArgument(f"invalid signal: {signal}")
    config["StopSignal"] = signal


def _one(config: Config, arguments: str, instruction: str) -> str:
    words = split_words(arguments)
    if len(words) != 1:
        raise InvalidArgument(f"{instruction} requires exactly one argument")
    return expand(words[0], _variables(config))


def _onbuild(config: Config, arguments: str) -> None:
    trigger = arguments.partition(" ")[0].upper()
    if trigger == "ONBUILD":
        raise InvalidArgument("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("FROM", "MAINTAINER"):
        raise InvalidArgument(f"{trigger} isn't allowed as an ONBUILD trigger")
    config["OnBuild"] = [*(config.get("OnBuild") or []), arguments]


def _healthcheck(config: Config, arguments: str) -> None:
    check: Config = {}
    rest = arguments
    while rest.startswith("--"):
        option, _, rest = rest.partition(" ")
        name, _, value = option[2:].partition("=")
        rest = rest.lstrip()
        if name == "retries" and value.isascii() and value.isdigit() and len(value) < 10:
            check["Retries"] = int(value)
        elif name in _HEALTH_DURATIONS:
            check[_HEALTH_DURATIONS[name]] = parse_duration_ns(value)
        else:
            raise InvalidArgument(f"invalid HEALTHCHECK option: {option}")
    kind, _, command = rest.partition(" ")
    if kind.upper() == "NONE" and not command.strip() and not check:
        config["Healthcheck"] = {"Test": ["NONE"]}
        return
    if kind.upper() != "CMD" or not command.strip():
        raise InvalidArgument(f"Unknown type {kind!r} in HEALTHCHECK (try CMD)")
    words = json_form(command.strip())
    config["Healthcheck"] = {
        "Test": ["CMD-SHELL", command.strip()] if words is None else ["CMD", *words],
        **check,
    }


_HEALTH_DURATIONS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}


def parse_duration_ns(text: str) -> int:
    """A duration such as `1m30s` in nanoseconds.

    Raises:
        InvalidArgument: another form, or less than a millisecond but not zero.
    """
    total = 0.0
    rest = text
    while rest and len(text) < 64:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = next((u for u in ("ns", "us", "µs", "ms", "s", "m", "h") if rest.startswith(u)), "")
        if not unit or not number or number.count(".") > 1 or number == ".":
            break
        total += float(number) * _DURATION_NS[unit]
        rest = rest[len(unit) :]
        if not rest and (total == 0 or 10**6 <= total < 2**63):
            return int(total)
    if text == "0":
        return 0
    raise InvalidArgument(f'time: invalid duration "{text[:64]}"')


_HANDLERS: dict[str, Callable[[Config, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
