"""Processes that `launch` has made: what their parent holds of them, and how they go on or end."""

from __future__ import annotations

import os

from wherry.diagnostics.faults import fault_point
from wherry.linux.process import pidfd_send_signal, process_start_time, wait_pidfd
from wherry.runtime import hooks, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.runtime.cgroups import Cgroup
    from wherry.runtime.plan import Plan

_SIGKILL = 9


class Started:
    """A process that has been made and waits at its gate, or runs."""

    __slots__ = ("channel", "console_fd", "pid", "pidfd")

    def __init__(self, pid: int, pidfd: int, channel: sync.Channel) -> None:
        self.pid = pid
        self.pidfd = pidfd  # the caller's, as is console_fd
        self.console_fd = -1  # the terminal's master side
        self.channel = channel

    def abort(self) -> int:
        """Kill and reap the process, close all descriptors; returns its status word."""
        self.channel.close()
        if self.pidfd < 0:  # done already
            return 0
        status = 0
        try:
            pidfd_send_signal(self.pidfd, _SIGKILL)
            result = wait_pidfd(self.pidfd)
            status = result[1] if result else 0
        except (ProcessLookupError, ChildProcessError):
            pass  # reaped already
        sync.close_quietly(self.pidfd, self.console_fd)
        self.pidfd = self.console_fd = -1
        return status


class Init(Started):
    """The first process of a container."""

    __slots__ = ("_bundle", "_container_id", "_plan", "cgroup", "mount_ns_fd", "network_fd", "start_time")

    def __init__(
        self, started: Started, plan: Plan, cgroup: Cgroup, *, container_id: str, bundle: str
    ) -> None:
        super().__init__(started.pid, started.pidfd, started.channel)
        self.console_fd = started.console_fd
        self.cgroup = cgroup
        self.network_fd = _open_namespace(self.pid, "net")
        self.mount_ns_fd = _open_namespace(self.pid, "mnt")
        self.start_time = process_start_time(self.pid)
        self._plan = plan
        self._container_id = container_id
        self._bundle = bundle

    @property
    def clone_flags(self) -> int:
        """The namespaces that were made with the process."""
        return self._plan.clone_flags

    def start(self) -> None:
        """Let the process go; returns when its program runs.

        Raises:
            StartFailed: execve failed; the process is ending, its status is for the caller to reap.
        """
        fault_point("start.gate")
        sync.await_execve(self.channel)
        self.channel.close()
        poststart = self._plan.hooks.get("poststart") or []
        hooks.run_hooks_leniently("poststart", poststart, self.state("running"))

    def abort(self) -> int:
        """Kill and reap the process, close its descriptors and remove its cgroup."""
        status = super().abort()
        sync.close_quietly(self.network_fd, self.mount_ns_fd)
        self.network_fd = self.mount_ns_fd = -1
        self.cgroup.kill()  # what the process has started
        self.cgroup.delete()
        self.cgroup.close()
        return status

    def detach(self) -> None:
        """Leave the process waiting at the gate that `create_init` was given, for another to open."""
        self.channel.close()
        sync.close_quietly(self.pidfd, self.console_fd, self.network_fd, self.mount_ns_fd)
        self.cgroup.close()

    def state(self, status: str) -> dict[str, object]:
        """The state document that hooks get."""
        return hooks.state_document(
            self._container_id,
            status=status,
            pid=self.pid,
            bundle=self._bundle,
            annotations=self._plan.annotations,
        )


class Exec(Started):
    """A process that has joined a container and runs its program."""

    __slots__ = ()


def _open_namespace(pid: int, name: str) -> int:
    """A descriptor of the process's namespace, -1 when the process has ended meanwhile."""
    try:
        return os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
