"""exec: run one more program in a running container."""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument
from wherry.linux.process import is_alive, pidfd_open, set_child_subreaper
from wherry.runtime import launch
from wherry.runtime.commands import bundle, foreground
from wherry.runtime.commands.flags import BOOLEAN, LIST, NUMBER, STRING, Options, take_id
from wherry.runtime.container import Container
from wherry.runtime.failures import StartFailed, WrongState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = {
    "additional-gids": (LIST, None, "g"),
    "apparmor": (STRING, None, ""),
    "cap": (LIST, None, "c"),
    "cgroup": (LIST, None, ""),
    "console-socket": (STRING, "", ""),
    "cwd": (STRING, None, ""),
    "detach": (BOOLEAN, False, "d"),
    "env": (LIST, None, "e"),
    "ignore-paused": (BOOLEAN, False, ""),
    "no-new-privs": (BOOLEAN, False, ""),
    "no-subreaper": (BOOLEAN, False, ""),
    "pid-file": (STRING, "", ""),
    "preserve-fds": (NUMBER, 0, ""),
    "process": (STRING, "", "p"),
    "process-label": (STRING, None, ""),
    "tty": (BOOLEAN, False, "t"),
    "user": (STRING, None, "u"),
}


def run(options: Options, arguments: list[str]) -> int:
    container_id = take_id(arguments, exactly=False)
    if options["cgroup"]:
        raise InvalidArgument(
            "exec --cgroup is not supported: a process is put into the container's own cgroup"
        )
    if options["process"]:
        process = bundle.read_document(options["process"], "process file")
    elif len(arguments) < 2:
        raise InvalidArgument("process args cannot be empty")
    with Container.load(options["root"], container_id) as container:
        _check_status(container, ignore_paused=options["ignore-paused"])
        if not options["process"]:
            process = _process(options, container.spec.get("process") or {}, arguments[1:])
        started = _start(options, container, process)
    try:
        if options["console-socket"]:
            bundle.send_console(options["console-socket"], started.console_fd)
        if options["pid-file"]:
            bundle.write_pid_file(options["pid-file"], started.pid)
    except BaseException:
        started.abort()
        raise
    if options["detach"]:
        return 0
    foreground.forward_signals(started.pidfd)
    return foreground.attend(started.pidfd, started.console_fd)


def _check_status(container: Container, *, ignore_paused: bool) -> None:
    status = container.status()
    if status == "stopped":
        raise WrongState("cannot exec in a stopped container")
    if status == "paused" and not ignore_paused:
        raise WrongState("cannot exec in a paused container (use --ignore-paused to override)")


def _start(options: Options, container: Container, process: dict[str, Any]) -> launch.Exec:
    if process.get("terminal") and options["detach"] and not options["console-socket"]:
        raise InvalidArgument("cannot allocate tty if the runtime will detach without setting console socket")
    preserve = bundle.pass_listen_fds(process, options["preserve-fds"])
    set_child_subreaper()
    pidfd = pidfd_open(container.pid)
    try:
        if not is_alive(container.pid, int(container.record["start_time"])):
            raise WrongState("cannot exec in a stopped container")
        return launch.exec_process(
            process,
            spec=container.spec,
            init_pid=container.pid,
            init_pidfd=pidfd,
            cgroup=container.cgroup(),
            stdio=(0, 1, 2),
            container_id=container.id,
            preserve_fds=preserve,
            seccomp_cache=os.path.join(options["root"], ".seccomp"),
        )
    except StartFailed as error:
        raise bundle.start_error("exec", error) from error
    finally:
        os.close(pidfd)


def _process(options: Options, base: dict[str, Any], args: list[str]) -> dict[str, Any]:
    """The container's own process with what the flags change."""
    process: dict[str, Any] = {**base, "args": args, "terminal": options["tty"]}
    process.pop("consoleSize", None)
    if options["env"]:
        process["env"] = [*(base.get("env") or []), *options["env"]]
    for flag, key in (("cwd", "cwd"), ("apparmor", "apparmorProfile"), ("process-label", "selinuxLabel")):
        if options[flag] is not None:
            process[key] = options[flag]
    if options["no-new-privs"]:
        process["noNewPrivileges"] = True
    if options["cap"]:
        process["capabilities"] = _with_capabilities(base.get("capabilities") or {}, options["cap"])
    user = dict(base.get("user") or {})
    if options["user"] is not None:
        uid, _, gid = options["user"].partition(":")
        user["uid"] = _id("user", uid)
        if gid:
            user["gid"] = _id("group", gid)
    if options["additional-gids"]:
        gids = [_id("group", each) for each in options["additional-gids"]]
        user["additionalGids"] = [*(user.get("additionalGids") or []), *gids]
    process["user"] = user
    return process


def _with_capabilities(sets: dict[str, list[str]], names: list[str]) -> dict[str, list[str]]:
    """Added to all but the inheritable and the ambient set (CVE-2022-29162)."""
    return {
        kind: [*(sets.get(kind) or []), *(names if kind in ("bounding", "effective", "permitted") else ())]
        for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")
    }


def _id(what: str, text: str) -> int:
    # Digits and nothing else: `+1`, ` 1` and digits of other scripts are no ids (CVE-2024-40635).
    if not (text.isascii() and text.isdigit()) or int(text) > 0xFFFFFFFE:
        raise InvalidArgument(f"parsing {what} {text!r}: not a number from 0 to 4294967294")
    return int(text)
