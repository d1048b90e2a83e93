"""What create and run have in common: from a bundle to a container with a waiting init process."""

from __future__ import annotations

import _socket
import os
import sys

from wherry.diagnostics.faults import fault_point
from wherry.errors import InvalidArgument, WherryError
from wherry.files.json import loads
from wherry.linux.process import set_child_subreaper
from wherry.runtime import launch
from wherry.runtime.commands.flags import Options
from wherry.runtime.container import Container
from wherry.runtime.failures import InvalidSpec, StartFailed, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LARGEST_CONFIG = 64 << 20


def read_bundle(directory: str) -> tuple[str, dict[str, Any]]:
    """The bundle's directory, absolute, and its configuration.

    Raises:
        InvalidArgument: there is none, or it is not JSON.
    """
    directory = os.path.abspath(directory or ".")
    spec = read_document(os.path.join(directory, "config.json"), "JSON specification file")
    root = (spec.get("root") or {}).get("path")
    if not root:
        raise InvalidSpec("root.path must be set")
    if not os.path.isdir(os.path.join(directory, root)):
        raise InvalidSpec(f"invalid rootfs: stat {os.path.join(directory, root)}: no such file or directory")
    return directory, spec


def read_document(path: str, what: str) -> dict[str, Any]:
    """A JSON object from a file, or from stdin for `-`.

    Raises:
        InvalidArgument: not there, not JSON, not an object.
    """
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            document = loads(file.read(_LARGEST_CONFIG))
    except FileNotFoundError:
        raise InvalidArgument(f"{what} {os.path.basename(path)} not found") from None
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{what} {path}: {error}") from error
    if not isinstance(document, dict):
        raise InvalidArgument(f"{what} {path}: not a JSON object")
    return document


def create(
    options: Options, container_id: str, directory: str, spec: dict[str, Any], *, gate: bool
) -> launch.Init:
    """Make the container and write down what there is; with `gate` for a start by another command.

    Raises:
        WherryError: nothing of it stays.
    """
    rootfs = os.path.normpath(os.path.join(directory, spec["root"]["path"]))
    preserve = pass_listen_fds(spec.get("process") or {}, options["preserve-fds"])
    container = Container.create(options["root"], container_id, bundle=directory, spec=spec, rootfs=rootfs)
    with container:
        try:
            fault_point("runtime.create.recorded")
            set_child_subreaper()
            gate_fd = container.listen_at_gate() if gate else -1
            init = launch.create_init(
                spec,
                container_id=container_id,
                bundle=directory,
                stdio=(0, 1, 2),
                preserve_fds=preserve,
                gate_fd=gate_fd,
                new_keyring=not options["no-new-keyring"],
                seccomp_cache=os.path.join(options["root"], ".seccomp"),
            )
        except BaseException as error:
            container.remove()
            if isinstance(error, StartFailed):
                raise start_error("create", error) from error
            raise
        try:
            _announce(options, container, init)
        except BaseException:
            init.abort()
            container.remove()
            raise
    return init


def _announce(options: Options, container: Container, init: launch.Init) -> None:
    """Write down that there is a process, then tell those who wait for it."""
    fault_point("runtime.create.cloned")
    container.record["pid"], container.record["start_time"] = init.pid, init.start_time
    container.save()
    fault_point("runtime.create.saved")
    if options["console-socket"]:
        send_console(options["console-socket"], init.console_fd)
    if options["pid-file"]:
        write_pid_file(options["pid-file"], init.pid)


def start_error(command: str, error: StartFailed) -> WherryError:
    """The failure of a start with the words around it that Docker's engine and podman expect."""
    middle = "" if command == "exec" else "error during container init: "
    return WherryError(
        f"{command} failed: unable to start container process: {middle}{error}", hint=error.hint
    )


def send_console(path: str, master: int) -> None:
    """Send the terminal's master side to whoever listens at `path`.

    Raises:
        WherryError: nobody does.
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC, 0)
    try:
        connection.connect(path)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, master.to_bytes(4, sys.byteorder))
        connection.sendmsg([b"/dev/pts/ptmx"], [rights])
    except OSError as error:
        raise WherryError(f"console socket {path}: {reason(error)}") from error
    finally:
        connection.close()


def write_pid_file(path: str, pid: int) -> None:
    """Write the pid so that no reader ever sees half of it."""
    head, name = os.path.split(path)
    temporary = os.path.join(head, f".{name}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        os.write(fd, b"%d" % pid)
    finally:
        os.close(fd)
    os.rename(temporary, path)


def pass_listen_fds(process: dict[str, Any], preserve: int) -> int:
    """Descriptors to pass on: those asked for, and before them those of socket activation."""
    count = os.environ.get("LISTEN_FDS", "")
    activated = int(count) if count.isdigit() else 0
    if activated:
        process["env"] = [*(process.get("env") or []), f"LISTEN_FDS={activated}", "LISTEN_PID=1"]
    for fd in range(3, 3 + activated + preserve):
        try:
            os.fstat(fd)
        except OSError:
            raise InvalidArgument(f"invalid preserve-fds: descriptor {fd} is not open") from None
    return activated + preserve
