"""Control groups: the one a container's processes live in, with its limits and device rules.

    Cgroup.create(path, resources)      before the process is made; undone whole when a step fails
    cgroup.clone_fd() / cgroup.join()   the process is born in it (v2), or moves itself (v1)
    cgroup.apply(resources)             later changes: what `resources` does not name stays
    cgroup.kill() ... cgroup.delete()

`path` is absolute in every hierarchy, such as `/wherry/4f5a…`; systemd's form `slice:prefix:name` stands
for the path that systemd would give it.  Device rules begin with "deny all", whatever is asked: a
container without rules can use only the harmless devices every container gets (GHSA-g54h-m393-cpwq).

Spec: OCI runtime-spec, config-linux.md, Control groups.
"""

from __future__ import annotations

import errno
import os
import time

from wherry.diagnostics.faults import fault_point
from wherry.errors import Conflict, InvalidArgument, PermissionDenied, Unavailable, Unsupported
from wherry.linux import cgroupfs
from wherry.runtime.cgroups.resources import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Resources = dict[str, Any]  # linux.resources of the runtime specification, decoded

SIGKILL = 9

_DELETE_DEADLINE_S = 2.0
_KILL_PASSES = 20


class LimitRefused(InvalidArgument):
    """The kernel does not take this value for a limit."""


class CgroupInUse(Conflict):
    """The control group of this path holds processes already."""

    def __init__(self, path: str) -> None:
        super().__init__(f"cgroup {path} is in use: it holds processes")


class Cgroup:
    """A container's control group.  It may be gone, or never have been: then it has no processes.

    The object keeps descriptors until `close`, which leaves the group itself alone.
    """

    __slots__ = ("path",)

    version: int = 0

    def __init__(self, path: str) -> None:
        self.path = normalise_path(path)

    @staticmethod
    def create(path: str, resources: Resources | None = None, *, version: int | None = None) -> Cgroup:
        """Make the group at `path` with its limits and device rules in force, and no process in it.

        `version` (1 or 2) is that of the host unless given.

        Raises:
            CgroupInUse: it exists and holds processes.
            LimitRefused, Unsupported, PermissionDenied: nothing of it stays.
        """
        check(resources or {})
        cgroup = Cgroup.open(path, version=version)
        try:
            cgroup._create(resources or {})
        except BaseException:
            cgroup.close()
            raise
        return cgroup

    @staticmethod
    def open(path: str, *, version: int | None = None) -> Cgroup:
        """The group at `path`, which need not exist."""
        if (version or cgroupfs.layout().version) == 1:
            from wherry.runtime.cgroups.v1 import V1Cgroup

            return V1Cgroup(path)
        from wherry.runtime.cgroups.v2 import V2Cgroup

        return V2Cgroup(path)

    @staticmethod
    def to_join(path: str, fds: list[int]) -> Cgroup:
        """The group at `path` for a process that got the `joining_fds` of another's object; only to join."""
        from wherry.runtime.cgroups.v1 import V1Cgroup

        cgroup = V1Cgroup(path)
        cgroup.adopt(fds)
        return cgroup

    # What the versions do each in their way.

    def _create(self, resources: Resources) -> None:
        raise NotImplementedError

    def clone_fd(self, *, beside: int | None = None) -> int:
        """A descriptor for CLONE_INTO_CGROUP, owned by this object; -1 where the child must `join`.

        With `beside`, a process of the container, the group beneath this one where that process
        lives now: a container that manages groups of its own may have moved all out of the top.
        """
        raise NotImplementedError

    def join(self) -> None:
        """Move the calling process, which must have a single thread, into the group.

        Called by the new process itself: on v1 this does not wait for other processors, as a
        move of another process does (10 ms).  Works in any mount and user namespace.
        """
        raise NotImplementedError

    def joining_fds(self) -> list[int]:
        """The descriptors that `join` writes to (v1); they stay this object's."""
        raise NotImplementedError

    def _apply(self, resources: Resources) -> None:
        raise NotImplementedError

    def directories(self) -> dict[str, str]:
        """The group's directory by controller; on v2 one, under the empty name."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Stop all processes, and return when they have stopped.

        Raises:
            DeadlineExceeded: they do not stop; they run on.
        """
        raise NotImplementedError

    def thaw(self) -> None:
        """Let all processes run again."""
        raise NotImplementedError

    def is_frozen(self) -> bool:
        """Whether `freeze` is in force."""
        raise NotImplementedError

    def kill(self) -> None:
        """Send SIGKILL to every process, also those being forked meanwhile and those frozen.

        Returns without waiting for them to end.
        """
        raise NotImplementedError

    def stats(self) -> dict[str, Any]:
        """What the group uses, in the form of `runc events --stats`: times in ns, sizes in bytes."""
        raise NotImplementedError

    def oom_kill_count(self) -> int:
        """How many processes the kernel has killed here for lack of memory."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the descriptors this object keeps."""
        raise NotImplementedError

    # What they share.

    def apply(self, resources: Resources) -> None:
        """Change the limits that `resources` names, and the device rules if it has any.

        Raises:
            LimitRefused, Unsupported: those before the refused one are in force.
            InvalidArgument: not of the shape of `linux.resources`.
        """
        check(resources)
        self._apply(resources)

    def exists(self) -> bool:
        """Whether any directory of the group is there."""
        return any(os.path.isdir(directory) for directory in self.directories().values())

    def pids(self, *, recursive: bool = True) -> list[int]:
        """The processes in the group, and with `recursive` in the groups beneath it."""
        found: set[int] = set()
        top = self._process_directory()
        for directory in list(descendants(top)) if recursive else [top]:
            found.update(_read_pids(directory))
        return sorted(found)

    def delete(self) -> None:
        """Remove the group and those beneath it.  Deleting one that is gone is no error.

        Retries for up to two seconds: a group is busy until its last process is wholly gone.

        Raises:
            Unavailable: it still holds processes.
        """
        deadline = time.monotonic() + _DELETE_DEADLINE_S
        for directory in dict.fromkeys(self.directories().values()):
            remove_tree(directory, deadline)
            fault_point("cgroup.partly-deleted")

    def _process_directory(self) -> str:
        raise NotImplementedError

    def _signal_all(self, signal: int) -> None:
        # One pass suffices where the processes are frozen; else until no unseen one turns up.
        seen: set[int] = set()
        for _ in range(_KILL_PASSES):
            fresh = [pid for pid in self.pids() if pid not in seen]
            if not fresh:
                return
            for pid in fresh:
                try:
                    os.kill(pid, signal)
                except ProcessLookupError:
                    pass
            seen.update(fresh)


def normalise_path(path: str) -> str:
    """`path` as an absolute path of a control group; `slice:prefix:name` becomes systemd's.

    Raises:
        InvalidArgument: for a path that climbs or names nothing.
    """
    if path.count(":") == 2 and "/" not in path:
        path = _systemd_path(*path.split(":"))
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or "\0" in path:
        raise InvalidArgument(f"invalid cgroup path {path!r}")
    return "/" + "/".join(parts)


def _systemd_path(slice_name: str, prefix: str, name: str) -> str:
    slice_name = slice_name or "system.slice"
    if not slice_name.endswith(".slice") or not name:
        raise InvalidArgument(f"invalid systemd cgroup path {slice_name}:{prefix}:{name}")
    path, so_far = "", ""
    for word in slice_name.removesuffix(".slice").split("-"):  # `a-b.slice` lies in `a.slice`
        if not word and slice_name != "-.slice":
            raise InvalidArgument(f"invalid systemd slice {slice_name}")
        so_far = f"{so_far}-{word}" if so_far else word
        path += f"/{so_far}.slice" if so_far else ""
    if name.endswith(".slice"):
        return f"{path}/{name}"
    return f"{path}/{prefix}-{name}.scope" if prefix else f"{path}/{name}.scope"


def make_directories(root: str, path: str) -> bool:
    """Make the directory `path` beneath `root` with its parents; False when it was there already.

    Raises:
        PermissionDenied, Unsupported: control groups cannot be made here.
    """
    directory = root + path
    try:
        try:
            os.mkdir(directory, 0o755)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(directory), 0o755, exist_ok=True)
            os.mkdir(directory, 0o755)
    except FileExistsError:
        return False
    except OSError as error:
        kind = PermissionDenied if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else Unsupported
        raise kind(f"make cgroup {directory}: {os.strerror(error.errno or 0)}") from error
    return True


def write_limit(directory: str, file: str, value: str) -> None:
    """Write one limit.

    Raises:
        LimitRefused: the kernel refuses the value.
        Unsupported: there is no such file: the kernel or the host lacks the controller.
    """
    write_lines(directory, file, [value])


def write_lines(directory: str, file: str, lines: list[str]) -> None:
    """Write to a file that takes one line with each write.

    Raises:
        LimitRefused, Unsupported: as `write_limit`; the lines before the refused one are in force.
    """
    if not lines:
        return
    try:
        fd = os.open(f"{directory}/{file}", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Unsupported(f"{file}: this host's cgroups do not have it") from error
    line = ""
    try:
        for line in lines:
            os.write(fd, line.encode())
    except OSError as error:
        raise LimitRefused(f"set {file} to {line!r}: {os.strerror(error.errno or 0)}") from error
    finally:
        os.close(fd)


def remove_tree(directory: str, deadline: float) -> None:
    """Remove a group's directory with all beneath it, trying until `deadline` (monotonic).

    Raises:
        Unavailable: still busy then.
    """
    pause_s = 0.0005
    while True:
        try:
            os.rmdir(directory)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
            if time.monotonic() > deadline:
                raise Unavailable(f"cgroup {directory} is still in use") from error
        beneath = _children(directory)
        if beneath:
            for child in beneath:
                remove_tree(child, deadline)
            continue
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.02)


def is_gone(error: OSError) -> bool:
    """Whether `error` says that the group is not, or no longer, there."""
    return error.errno in (errno.ENOENT, errno.ENODEV)


def _children(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def descendants(directory: str) -> Iterator[str]:
    """`directory` and all groups beneath it."""
    yield directory
    for child in _children(directory):
        yield from descendants(child)


def _read_pids(directory: str) -> list[int]:
    try:
        text = cgroupfs.read(f"{directory}/cgroup.procs")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            return []  # gone meanwhile, or a threaded group, whose processes its parent lists
        raise
    # 0 stands for a process of an outer pid namespace; as a signal's target it would mean ourselves.
    return [int(line) for line in text.split() if line != "0"]
