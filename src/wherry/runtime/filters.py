"""The seccomp filter of a process: compiled before the fork, and, for notify, handed to its agent.

Spec: runtime-spec, config-linux.md, Seccomp and The Container Process State.
"""

from __future__ import annotations

import _socket
import os
import sys

from wherry.files.json import dumps
from wherry.linux import seccomp as kernel
from wherry.runtime import hooks
from wherry.runtime.failures import InvalidSpec, StartFailed, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.runtime.init import Setup

_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,  # there is one thread
    "SECCOMP_FILTER_FLAG_LOG": kernel.FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": kernel.FLAG_SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": kernel.FLAG_WAIT_KILLABLE_RECV,
}
FLAG_WORDS = tuple(_FLAGS)


def prepare(setup: Setup, section: dict[str, Any] | None, cache: str | None) -> None:
    """Compile the filter of `section` into `setup`.

    Raises:
        InvalidSpec: a section that is not a filter; a container never runs without one it asked for.
    """
    if not section:
        return
    from wherry.runtime import seccomp

    flags = 0
    for word in section.get("flags") or []:
        if word not in _FLAGS:
            raise InvalidSpec(f"seccomp flags {word!r} not found")
        flags |= _FLAGS[word]
    setup.seccomp_program = (
        seccomp.compile_cached(section, cache) if cache is not None else seccomp.compile(section)
    )
    setup.seccomp_notify = any(
        rule.get("action") == "SCMP_ACT_NOTIFY" for rule in section.get("syscalls") or []
    )
    if setup.seccomp_notify:
        setup.listener_path = str(section.get("listenerPath") or "")
        setup.listener_metadata = str(section.get("listenerMetadata") or "")
        if not setup.listener_path.startswith("/"):
            raise InvalidSpec("seccomp: SCMP_ACT_NOTIFY needs an absolute listenerPath")
        flags |= kernel.FLAG_NEW_LISTENER
    setup.seccomp_flags = flags


def hand_over(listener_fd: int, setup: Setup, pid: int) -> None:
    """Send the listener to the agent that decides on the process's calls.

    Raises:
        StartFailed: nobody listens.
    """
    state: dict[str, object] = {
        "ociVersion": hooks.OCI_VERSION,
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": setup.listener_metadata,
        "state": hooks.state_document(
            setup.container_id,
            status="creating",
            pid=pid,
            bundle=setup.bundle,
            annotations=setup.plan.annotations if setup.plan else {},
        ),
    }
    agent = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC, 0)
    try:
        agent.connect(setup.listener_path)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, listener_fd.to_bytes(4, sys.byteorder))
        agent.sendmsg([dumps(state).encode()], [rights])
    except OSError as error:
        raise StartFailed(f"send seccomp listener to {setup.listener_path}: {reason(error)}") from error
    finally:
        agent.close()
        os.close(listener_fd)
