"""Containers of the command line on disk: what is known of each, and in which state it is.

    <root>/<id>/            0711 of root; made by create, removed by delete
        lock                flock: held while a command changes the container
        state.json          0600, replaced atomically
        gate                the socket at which init waits for `start`; gone, or dead, once it has started

state.json is written twice: first with pid 0 and the cgroup's path, before anything is made in the kernel,
so that `delete --force` finds all of a create that was killed; then with init's pid.  The pid is trusted only
together with the time at which that process started: pids are used again.

    creating ─▶ created ─▶ running ⇄ paused        any of them ─▶ stopped

Nothing records the state itself: it is asked of the kernel, so it cannot be out of date.

Spec: runtime-spec, runtime.md, State.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from wherry.errors import InvalidArgument
from wherry.files.json import dumps, loads
from wherry.linux.process import is_alive
from wherry.runtime import sync
from wherry.runtime.cgroups import Cgroup
from wherry.runtime.failures import ContainerExists, ContainerNotFound
from wherry.runtime.hooks import OCI_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

GATE = "gate"
_LONGEST_ID = 1024
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")


class Container:
    """One container, its directory locked for as long as this object is open."""

    __slots__ = ("_directory_fd", "_lock_fd", "directory", "id", "record")

    def __init__(self, root: str, container_id: str, directory_fd: int, lock_fd: int) -> None:
        self.id = container_id
        self.directory = os.path.join(root, container_id)
        self.record: dict[str, Any] = {}
        self._directory_fd = directory_fd
        self._lock_fd = lock_fd

    @staticmethod
    def create(root: str, container_id: str, *, bundle: str, spec: dict[str, Any], rootfs: str) -> Container:
        """Claim the id and write down what is about to be made.

        Raises:
            InvalidArgument: not an id.
            ContainerExists: the id is taken.
        """
        check_id(container_id)
        os.makedirs(root, 0o711, exist_ok=True)
        try:
            os.mkdir(os.path.join(root, container_id), 0o711)
        except FileExistsError:
            raise ContainerExists from None
        container = Container._open(root, container_id)
        cgroup_path = (spec.get("linux") or {}).get("cgroupsPath") or container_id
        container.record = {
            "id": container_id,
            "pid": 0,
            "start_time": 0,
            "bundle": bundle,
            "rootfs": rootfs,
            "created": _timestamp(time.time_ns()),
            "cgroup_path": cgroup_path,
            "owner": _owner(),
            "spec": spec,
        }
        container.save()
        return container

    @staticmethod
    def load(root: str, container_id: str, *, lock: bool = True) -> Container:
        """The container of that id; without `lock` to be looked at only, as a hook of a create may.

        Raises:
            ContainerNotFound: there is none.
        """
        check_id(container_id)
        container = Container._open(root, container_id, lock=lock)
        try:
            container.record = _read_record(container._directory_fd)
        except BaseException:
            container.close()
            raise
        return container

    @staticmethod
    def _open(root: str, container_id: str, *, lock: bool = True) -> Container:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            directory_fd = os.open(os.path.join(root, container_id), flags)
        except FileNotFoundError:
            raise ContainerNotFound from None
        lock_fd = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=directory_fd)
        if lock:
            fcntl.flock(lock_fd, fcntl.LOCK_EX)
        return Container(root, container_id, directory_fd, lock_fd)

    def close(self) -> None:
        """Let others change the container."""
        sync.close_quietly(self._lock_fd, self._directory_fd)
        self._lock_fd = self._directory_fd = -1

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return int(self.record.get("pid") or 0)

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.record["spec"]
        return spec

    def cgroup(self) -> Cgroup:
        """Its control group, which may be gone."""
        return Cgroup.open(str(self.record["cgroup_path"]))

    def save(self) -> None:
        """Replace the record on disk."""
        temporary = f"state.{os.getpid()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=self._directory_fd)
        try:
            os.write(fd, dumps(self.record).encode())
        finally:
            os.close(fd)
        os.rename(temporary, "state.json", src_dir_fd=self._directory_fd, dst_dir_fd=self._directory_fd)

    def listen_at_gate(self) -> int:
        """The socket at which init is to wait, for `create_init`."""
        return sync.listen_at_gate(self._directory_fd, GATE)

    def knock(self) -> sync.Channel | None:
        """A connection to the waiting init, None when none waits."""
        return sync.knock(self._directory_fd, GATE)

    def remove_gate(self) -> None:
        """Forget the gate: it has been passed."""
        try:
            os.unlink(GATE, dir_fd=self._directory_fd)
        except FileNotFoundError:
            pass

    def status(self) -> str:
        """The state: creating, created, running, paused or stopped."""
        if not self.pid:
            return "creating" if self._is_being_changed() else "stopped"
        if not is_alive(self.pid, int(self.record["start_time"])):
            return "stopped"
        channel = self.knock()
        if channel is not None:
            channel.close()
            return "created"
        return "paused" if self._is_frozen() else "running"

    def _is_frozen(self) -> bool:
        try:
            return self.cgroup().is_frozen()
        except FileNotFoundError:  # somebody has removed the cgroup: then it freezes nothing
            return False

    def _is_being_changed(self) -> bool:
        """Whether another process holds the lock; this one gets it where none does."""
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    def state(self) -> dict[str, object]:
        """The state document, with the members that runc adds."""
        status = self.status()
        return {
            "ociVersion": OCI_VERSION,
            "id": self.id,
            "pid": 0 if status == "stopped" else self.pid,
            "status": status,
            "bundle": self.record["bundle"],
            "rootfs": self.record["rootfs"],
            "created": self.record["created"],
            "annotations": self.spec.get("annotations") or {},
            "owner": self.record["owner"],
        }

    def remove(self) -> None:
        """Remove the record; afterwards the id is free."""
        for name in os.listdir(self._directory_fd):
            os.unlink(name, dir_fd=self._directory_fd)
        os.rmdir(self.directory)


def container_ids(root: str) -> list[str]:
    """The ids that are taken."""
    try:
        return sorted(entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def check_id(container_id: str) -> None:
    """Refuse an id that could not be the name of a directory, before it is one.

    Raises:
        InvalidArgument: not an id.
    """
    if container_id in ("", ".", "..") or len(container_id) > _LONGEST_ID:
        raise InvalidArgument(
            "container id cannot be empty" if not container_id else "invalid container ID format"
        )
    if not _ID_CHARACTERS.issuperset(container_id):
        raise InvalidArgument("invalid container ID format")


def _read_record(directory_fd: int) -> dict[str, Any]:
    try:
        fd = os.open("state.json", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory_fd)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise ContainerNotFound from None
        raise
    with os.fdopen(fd, "rb") as file:
        record: dict[str, Any] = loads(file.read())
    return record


def _timestamp(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def _owner() -> str:
    try:
        with open("/etc/passwd", "rb") as file:
            for line in file:
                fields = line.split(b":")
                if len(fields) > 2 and fields[2] == b"%d" % os.getuid():
                    return fields[0].decode("utf-8", "replace")
    except OSError:
        pass
    return ""
