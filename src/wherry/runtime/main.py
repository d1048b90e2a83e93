"""wherry-runtime: an OCI runtime with runc's command line.

A failure is one line on stderr and, with `--log`, one record in that file, which containerd and podman read:

    {"level":"error","msg":"…","time":"2026-01-02T03:04:05Z"}

Loaded is only what the command needs: this program starts anew for every step of a container's life.
"""

from __future__ import annotations

import os
import sys

from wherry import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_COMMANDS = (
    "create", "delete", "events", "exec", "features", "kill", "list", "pause", "ps", "resume", "run", "spec",
    "start", "state", "update",
)  # fmt: skip
# These fork a process that enters a container.
_ENTERING = frozenset(("create", "exec", "run"))
_USAGE = """\
NAME:
   wherry-runtime - Open Container Initiative runtime

USAGE:
   wherry-runtime [global options] command [command options] [arguments...]

COMMANDS:
   create    create a container
   delete    delete any resources held by the container
   events    display container events and statistics
   exec      execute a new process inside the container
   features  show the enabled features
   kill      send a signal to the container's init process
   list      list the containers of this root
   pause     suspend all processes of the container
   ps        list the processes of the container
   resume    resume all processes of the container
   run       create and start a container
   spec      write a configuration to start from
   start     start the program of a created container
   state     show the state of a container
   update    change the resource limits of a container

GLOBAL OPTIONS:
   --debug               also log what is of interest to developers
   --log value           append log records to this file instead of stderr
   --log-format value    "text" (default) or "json"
   --root value          directory of the containers' state (default: "/run/wherry-runtime")
   --systemd-cgroup      take cgroupsPath in the form "slice:prefix:name"
   --rootless value      ignored: found out by itself
   --help, -h            show help
   --version, -v         print the version
"""


def main(argv: list[str]) -> int:
    """Run one command; returns the exit code."""
    if not _ENTERING.isdisjoint(argv):
        # First of all, before anything is loaded that would have to be loaded again.  Words that merely
        # look like such a command do no harm.
        failure = _protect()
        if failure:
            _report(failure, "", "text")
            return 1
    from wherry.errors import WherryError
    from wherry.runtime.commands.flags import BOOLEAN, Options, parse_flags

    values: dict[str, object] = {"log": "", "log-format": "text"}
    verb = ""
    try:
        values, words = parse_flags(_global_flags(), argv)
        if values["version"]:
            return _print_version()
        if words[:1] in (["help"], ["h"]) and len(words) > 1:
            words = [words[1], "--help"]
        if values["help"] or not words or words[0] in ("help", "h"):
            sys.stdout.write(_USAGE)
            return 0
        verb, *words = words
        if verb not in _COMMANDS:
            raise WherryError(f'no command "{verb}"; see wherry-runtime --help')
        command = _load(verb)
        own, arguments = parse_flags({**command.FLAGS, "help": (BOOLEAN, False, "h")}, words)
        if own["help"]:
            return _print_help(verb, command)
        code: int = command.run(Options(verb, {**values, **own}), arguments)
        return code
    except (WherryError, OSError) as error:
        _report(str(error), str(values["log"] or ""), str(values["log-format"]))
        # As runc's: a failed exec must not look like a program that ended with 1.
        return 255 if verb == "exec" else 1


def _protect() -> str:
    """Go on in a process whose executable nobody can write to; what went wrong, or nothing."""
    from wherry.runtime.selfexe import protect

    try:
        protect()
    except OSError as error:
        return f"cannot run from a read-only copy of the interpreter: {error.strerror}"
    return ""


def _global_flags() -> dict[str, tuple[str, object, str]]:
    from wherry.runtime.commands.flags import BOOLEAN, STRING

    runtime_directory = os.environ.get("XDG_RUNTIME_DIR") if os.geteuid() else None
    return {
        "debug": (BOOLEAN, False, ""),
        "help": (BOOLEAN, False, "h"),
        "log": (STRING, "", ""),
        "log-format": (STRING, "text", ""),
        "root": (STRING, f"{runtime_directory or '/run'}/wherry-runtime", ""),
        "rootless": (STRING, "auto", ""),
        "systemd-cgroup": (BOOLEAN, False, ""),
        "version": (BOOLEAN, False, "v"),
    }


def _load(verb: str) -> Command:
    # exec is a word of Python's only as a function: `commands.exec` is a fine name for a module.
    name = f"wherry.runtime.commands.{verb}"
    __import__(name)
    module: Command = sys.modules[name]  # type: ignore[assignment]
    return module


def _print_help(verb: str, command: Command) -> int:
    from wherry.runtime.commands.help import command_help

    listed = _USAGE.partition("COMMANDS:\n")[2]
    purpose = next(line.split(None, 1)[1] for line in listed.splitlines() if line.split()[:1] == [verb])
    sys.stdout.write(command_help(verb, purpose, command.FLAGS))
    return 0


def _print_version() -> int:
    from wherry.runtime.hooks import OCI_VERSION

    sys.stdout.write(f"wherry-runtime version {__version__}\nspec: {OCI_VERSION}\n")
    return 0


def _report(message: str, log_file: str, log_format: str) -> None:
    import time

    from wherry.files.json import dumps

    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if log_file:
        if log_format == "json":
            line = dumps({"level": "error", "msg": message, "time": stamp})
        else:
            line = f'time="{stamp}" level=error msg={dumps(message)}'
        try:
            fd = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            os.write(fd, f"{line}\n".encode())
            os.close(fd)
        except OSError as error:
            message = f"{message}\ncannot write log {log_file}: {error.strerror}"
    os.write(2, f"{message}\n".encode("utf-8", "backslashreplace"))


if TYPE_CHECKING:

    class Command:
        """A module of `commands`."""

        FLAGS: dict[str, tuple[str, object, str]]
        run: Callable[[object, list[str]], int]
