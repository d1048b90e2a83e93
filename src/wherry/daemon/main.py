"""wherryd, the program: reads what was asked for, takes its roots, and runs the daemon."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from wherry import __version__
from wherry.daemon import options
from wherry.daemon.config import Config, load
from wherry.daemon.locks import held_root, pidfile
from wherry.daemon.service import Daemon
from wherry.diagnostics import logs
from wherry.diagnostics.logs import log
from wherry.errors import InvalidArgument, WherryError

_TAKE_OVER_S = 10.0  # for a daemon on demand, whose predecessor may be ending


def main(argv: list[str]) -> int:
    """Run the daemon until a signal or, where asked for, until it is idle; the exit status."""
    try:
        flags = options.parse_flags(argv)
        if flags.get("help"):
            print(options.usage())
            return 0
        if flags.get("version"):
            print(f"wherryd version {__version__}")
            return 0
        directory = _start_directory()
        config = load(flags, directory=directory)
        if flags.get("validate"):
            print("configuration OK")
            return 0
        return _run(config, lambda: load(flags, directory=directory))
    except WherryError as error:
        print(f"wherryd: {error}", *filter(None, [error.hint]), sep="\n", file=sys.stderr)
    except OSError as error:  # a root, a file or a disk that cannot be used
        print(f"wherryd: {error.filename or 'failed'}: {error.strerror or error}", file=sys.stderr)
    return 1


def _start_directory() -> Path:
    """Where relative paths begin: the present directory, and the root where that has been removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


def _run(config: Config, read_again: Callable[[], Config]) -> int:
    logs.set_level(config.log_level)
    if os.geteuid() != 0:
        raise InvalidArgument("the daemon needs to be started as root")
    os.umask(0o022)
    os.chdir("/")
    wait_s = _TAKE_OVER_S if config.idle_exit_s else 0
    addresses = " ".join(str(address) for address in config.addresses if address.scheme != "fd")
    with ExitStack() as held:
        for root in dict.fromkeys((config.data_root, config.exec_root)):
            held.enter_context(held_root(root, addresses=addresses, wait_s=wait_s))
        held.enter_context(pidfile(config.pidfile))
        asyncio.run(Daemon(config, read_again).run())
    log("info", "daemon ended")
    return 0
