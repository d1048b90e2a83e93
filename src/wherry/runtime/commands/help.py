"""The help of a command: its use, and one line for each of its flags.

Loaded only to be shown.  A flag of one name means the same in every command that has it.
"""

from __future__ import annotations

from wherry.runtime.commands.flags import BOOLEAN, LIST, Flags

_ID = "<container-id>"
_ARGUMENTS = {
    "exec": f"{_ID} <command> [arguments...]",
    "features": "",
    "kill": f"{_ID} [signal]",
    "list": "",
    "ps": f"{_ID} [ps options]",
    "spec": "",
}
"""What follows the flags; the container's id where a command is not named."""

_MEANINGS = {
    "additional-gids": "a further group of the process; repeatable",
    "all": "to all processes of the container",
    "apparmor": "AppArmor profile of the process",
    "blkio-weight": "weight of block I/O, 10 to 1000",
    "bundle": "directory of config.json (default: the present one)",
    "cap": "a capability to add to the process's; repeatable",
    "cgroup": "not supported: run in a control group below the container's",
    "console-socket": "UNIX socket that gets the master side of the terminal",
    "cpu-burst": "time in microseconds that may be saved up beyond the quota",
    "cpu-idle": "1 lets the container run only when the processor is idle",
    "cpu-period": "period of the quota in microseconds",
    "cpu-quota": "time in microseconds that the container may run in each period",
    "cpu-rt-period": "period of the real-time quota in microseconds",
    "cpu-rt-runtime": "real-time quota in microseconds",
    "cpu-share": "share of the processor, relative to other containers",
    "cpuset-cpus": "processors that may be used, as 0-2,7",
    "cpuset-mems": "memory nodes that may be used, as 0-2,7",
    "cwd": "working directory in the container",
    "detach": "do not wait for the end of the process",
    "env": "NAME=VALUE for the process; repeatable",
    "force": "kill the container first; no error if there is none",
    "format": "table or json (default: table)",
    "ignore-paused": "also in a paused container, where the process waits",
    "interval": "time between two statistics (default: 5s)",
    "keep": "do not delete the container after its end",
    "memory": "limit of memory, as 64m",
    "memory-reservation": "memory that is left to the container when there is little",
    "memory-swap": "limit of memory and swap together; -1 for none",
    "no-new-keyring": "share the caller's session keyring",
    "no-new-privs": "set no_new_privs",
    "no-pivot": "accepted, without effect: the root directory is always changed by pivot_root",
    "no-subreaper": "accepted, without effect",
    "pid-file": "file to write the process id to",
    "pids-limit": "most processes and threads",
    "preserve-fds": "hand on so many descriptors after the first three (default: 0)",
    "process": "file with the process's configuration, instead of flags and arguments",
    "process-label": "SELinux label of the process",
    "quiet": "ids only",
    "resources": "JSON file with all limits, - for standard input, instead of flags",
    "rootless": "for a user without rights",
    "stats": "show the statistics once",
    "tty": "give the process a terminal",
    "user": "UID[:GID] of the process",
}


def command_help(verb: str, purpose: str, flags: Flags) -> str:
    """The text for `verb --help`; `purpose` is what the command is for."""
    arguments = _ARGUMENTS.get(verb, _ID)
    use = " ".join(filter(None, ("wherry-runtime", verb, "[command options]", arguments)))
    rows = [(_spelling(name, *flags[name]), _MEANINGS[name]) for name in sorted(flags)]
    rows.append(("--help, -h", "show help"))
    width = max(len(spelling) for spelling, _ in rows)
    options = "\n".join(f"   {spelling:{width}}  {meaning}" for spelling, meaning in rows)
    return f"NAME:\n   wherry-runtime {verb} - {purpose}\n\nUSAGE:\n   {use}\n\nOPTIONS:\n{options}\n"


def _spelling(name: str, kind: str, _default: object, shorts: str) -> str:
    value = "" if kind == BOOLEAN else " value"
    names = [f"--{name}", *(f"-{short}" for short in shorts.split())]
    return ", ".join(f"{each}{value}" for each in names) + ("..." if kind == LIST else "")
