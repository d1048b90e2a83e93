"""The `wherry` program: global options, dispatch, and failures turned into exit codes.

Exit codes: the command's own; 1 for a failure, 125 for a flag that does not parse, 64 for a bad
template of inspect or events, 128+N when signal N ended the run.
"""

from __future__ import annotations

import os
import sys

from wherry.cli import commands
from wherry.cli.failures import (
    FAILED,
    OPTION_FAILED,
    ArgumentCountError,
    CommandFailed,
    DeprecatedHelp,
    Ended,
    FlagError,
    HelpWanted,
)
from wherry.cli.flags import Flag, parse
from wherry.cli.session import PROGRAM, Session
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.commands import Command, Entry, Run
    from wherry.cli.flags import Options

_SIGINT, _SIGPIPE = 2, 13


def global_flags() -> tuple[Flag, ...]:
    """The options in front of the command."""
    return (
        Flag("config", "string", "Directory of the client's configuration", shown='"~/.docker"'),
        Flag(
            "context",
            "string",
            "Context that names the daemon (overrides DOCKER_HOST and the current context)",
            short="c",
        ),
        Flag("debug", "bool", "Enable debug mode", short="D"),
        Flag("host", "list", "Address of the daemon", short="H"),
        Flag(
            "log-level",
            "string",
            'Set the logging level ("debug", "info", "warn", "error", "fatal")',
            short="l",
            default="info",
        ),
        Flag("tls", "bool", "Use TLS; implied by --tlsverify"),
        Flag("tlscacert", "string", "Trust only certificates signed by this CA"),
        Flag("tlscert", "string", "Path of the TLS certificate"),
        Flag("tlskey", "string", "Path of the TLS key"),
        Flag("tlsverify", "bool", "Use TLS and verify the daemon"),
        Flag("version", "bool", "Print the version and quit", short="v"),
    )


def main(argv: list[str]) -> int:
    """Run the program and return its exit code."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        return 128 + _SIGINT
    except Ended as ended:
        return 128 + ended.number
    except BrokenPipeError:
        # Nobody reads our output any more: end as a program does that SIGPIPE kills.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + _SIGPIPE


def _main(argv: list[str]) -> int:
    session = Session()
    flags = global_flags() if argv and argv[0].startswith("-") else ()
    try:
        options, rest = parse(flags, argv, interspersed=False)
    except FlagError as error:
        usage = f"{PROGRAM} [OPTIONS] COMMAND [ARG...]"
        return _usage_failure(session, error, usage, PROGRAM)
    except HelpWanted as wanted:
        return _program_help(session, wanted)
    if flags:
        if options["version"]:
            from wherry import __version__

            session.line(f"Wherry version {__version__}")
            return 0
        session = _session(options)
    if not rest:
        return _program_help(session)
    return _dispatch(session, rest)


def _session(options: Options) -> Session:
    from wherry.client.endpoint import TlsOptions

    def given(name: str) -> str | None:
        return str(options[name]) if name in options.given else None

    tls = TlsOptions(
        enabled=options["tls"],
        verify=options["tlsverify"],
        ca=given("tlscacert"),
        cert=given("tlscert"),
        key=given("tlskey"),
    )
    return Session(config_directory=given("config"), hosts=options["host"], context=given("context"), tls=tls)


def _dispatch(session: Session, words: list[str]) -> int:
    name, rest = words[0], words[1:]
    if name == "help":
        return _help_command(session, rest)
    if name in commands.TOP:
        return _run_command(session, name, commands.TOP[name], rest)
    if name not in commands.GROUPS:
        path = f"{PROGRAM} {name}"
        session.err(f"{PROGRAM}: unknown command: {path}\n\nRun '{PROGRAM} --help' for more information\n")
        return FAILED
    if not rest or rest[0] in ("--help", "-h"):
        return _group_help(session, name, asked=bool(rest))
    found = commands.find(name, rest[0])
    if found is None:
        return _unknown_member(session, name, rest[0])
    return _run_command(session, f"{name} {found[0]}", found[1], rest[1:])


def _run_command(session: Session, path: str, entry: Entry, words: list[str]) -> int:
    command, run = load(entry)
    session.command_path = f"{PROGRAM} {path}"
    try:
        options, arguments = parse(command.flags, words, interspersed=command.interspersed)
        _check_count(session.command_path, command, len(arguments))
        return run(session, options, arguments)
    except HelpWanted as wanted:
        from wherry.cli.help import command_help

        if isinstance(wanted, DeprecatedHelp):
            session.err("Flag shorthand -h has been deprecated, use --help\n")
        session.out(command_help(path, entry, command))
        return 0
    except FlagError as error:
        from wherry.cli.help import usage_line

        return _usage_failure(session, error, usage_line(path, command), session.command_path)
    except ArgumentCountError as error:
        return _count_failure(session, error, path, command)
    except CommandFailed as error:
        report(session, error)
        return error.status
    except WherryError as error:
        report(session, error)
        return FAILED
    finally:
        session.close()


def load(entry: Entry) -> tuple[Command, Run]:
    """The declaration and the function of a command."""
    __import__(entry.module)
    module = sys.modules[entry.module]
    command: Command = module.COMMAND
    run: Run = module.run
    return command, run


def report(session: Session, error: WherryError) -> None:
    """The message of a failure, and its hint apart from it."""
    text = str(error)
    if text:
        session.err(text.rstrip("\n") + "\n")
    if error.hint:
        session.err(f"\n{error.hint}\n")


def _check_count(path: str, command: Command, count: int) -> None:
    low, high = command.minimum, command.maximum
    if low <= count and (high is None or count <= high):
        return
    if high == 0:
        text = "accepts no arguments"
    elif high == low:
        text = f"requires {low} {_noun(low)}"
    elif high is None:
        text = f"requires at least {low} {_noun(low)}"
    elif low == 0:
        text = f"requires at most {high} {_noun(high)}"
    else:
        text = f"requires at least {low} and at most {high} {_noun(high)}"
    raise ArgumentCountError(f"'{path}' {text}")


def _noun(count: int) -> str:
    return "argument" if count == 1 else "arguments"


def _count_failure(session: Session, error: ArgumentCountError, path: str, command: Command) -> int:
    from wherry.cli.help import usage_line

    verb = "See" if command.maximum is None else "Run"
    session.err(
        f"{PROGRAM}: {error}\n\nUsage:  {usage_line(path, command)}\n\n"
        f"{verb} '{PROGRAM} {path} --help' for more information\n"
    )
    return FAILED


def _usage_failure(session: Session, error: FlagError, usage: str, path: str) -> int:
    session.err(f"{error}\n\nUsage:  {usage}\n\nRun '{path} --help' for more information\n")
    return OPTION_FAILED


def _program_help(session: Session, wanted: HelpWanted | None = None) -> int:
    from wherry.cli.help import program_help

    if isinstance(wanted, DeprecatedHelp):
        session.err("Flag shorthand -h has been deprecated, use --help\n")
    session.out(program_help(global_flags()))
    return 0


def _group_help(session: Session, group: str, *, asked: bool) -> int:
    from wherry.cli.help import group_help

    (session.out if asked else session.err)(group_help(group))
    return 0


def _unknown_member(session: Session, group: str, name: str) -> int:
    path = f"{PROGRAM} {group}"
    session.err(
        f"{PROGRAM}: unknown command: {path} {name}\n\nUsage:  {path}\n\n"
        f"Run '{path} --help' for more information\n"
    )
    return FAILED


def _help_command(session: Session, words: list[str]) -> int:
    """`help COMMAND` is `COMMAND --help`."""
    if not words:
        return _program_help(session)
    if words[0] not in commands.TOP and words[0] not in commands.GROUPS:
        session.err(f"unknown help topic: {' '.join(words)}\n")
        return FAILED
    return _dispatch(session, [*words, "--help"])
