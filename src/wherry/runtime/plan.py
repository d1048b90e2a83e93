"""What a bundle's configuration asks for, checked and in the form the steps need.

Everything here is a pure function of the configuration: nothing looks at the kernel.  The plan is made
before the fork, so that a wrong configuration costs no process.

Spec: runtime-spec, config.md and config-linux.md.
"""

from __future__ import annotations

from wherry.linux.namespaces import NAMESPACE_FLAGS
from wherry.runtime.failures import InvalidSpec
from wherry.runtime.options import MountOptions, parse_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Spec = dict[str, Any]

CAPABILITY_SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
_MAXIMUM_ID = 0xFFFFFFFE
_NOT_HERE = ("intelRdt", "memoryPolicy", "netDevices")
"""Members of `linux` that would be ignored, and so are refused."""
_ROOTFS_PROPAGATION = ("", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable")


class Namespaces:
    """Which namespaces are made, and which are joined at a path."""

    __slots__ = ("create", "join")

    def __init__(self, entries: list[dict[str, str]]) -> None:
        self.create: frozenset[str] = frozenset()
        self.join: dict[str, str] = {}
        seen: set[str] = set()
        for entry in entries:
            kind, path = entry.get("type", ""), entry.get("path") or ""
            if kind not in NAMESPACE_FLAGS:
                raise InvalidSpec(f"namespace {kind!r} does not exist")
            if kind in seen:
                raise InvalidSpec(f"malformed spec file: duplicated ns {kind!r}")
            seen.add(kind)
            if path:
                self.join[kind] = path
        self.create = frozenset(seen - self.join.keys())

    def has(self, kind: str) -> bool:
        """Whether the container does not share `kind` with the host."""
        return kind in self.create or kind in self.join


class Process:
    """The program to run and who it runs as."""

    __slots__ = (
        "additional_gids", "apparmor_profile", "args", "capabilities", "console_size", "cwd",
        "environment", "gid", "io_priority", "no_new_privileges", "oom_score_adj", "rlimits", "scheduler",
        "selinux_label", "terminal", "uid", "umask",
    )  # fmt: skip

    def __init__(self, process: Spec) -> None:
        user = process.get("user") or {}
        self.args = [_argument(each) for each in process.get("args") or []]
        if not self.args:
            raise InvalidSpec("args must not be empty")
        self.environment = environment(process.get("env") or [])
        self.cwd = str(process.get("cwd") or "")
        if not self.cwd.startswith("/") or "\0" in self.cwd:
            raise InvalidSpec(
                "cwd must be an absolute path" if self.cwd else "cwd property must not be empty"
            )
        self.terminal = bool(process.get("terminal"))
        self.console_size = _console_size(process.get("consoleSize"))
        self.uid = _id("uid", user.get("uid") or 0)
        self.gid = _id("gid", user.get("gid") or 0)
        self.additional_gids = [_id("gid", each) for each in user.get("additionalGids") or []]
        umask = user.get("umask")
        self.umask = 0o022 if umask is None else int(umask) & 0o777
        self.capabilities = _capabilities(process.get("capabilities"))
        self.rlimits = list(process.get("rlimits") or [])
        self.no_new_privileges = bool(process.get("noNewPrivileges"))
        self.apparmor_profile = str(process.get("apparmorProfile") or "")
        self.selinux_label = str(process.get("selinuxLabel") or "")
        self.oom_score_adj: int | None = process.get("oomScoreAdj")
        self.scheduler: Spec | None = process.get("scheduler")
        self.io_priority: Spec | None = process.get("ioPriority")


class Mount:
    """One entry of `mounts`."""

    __slots__ = ("destination", "options", "source", "type")

    def __init__(self, entry: Spec) -> None:
        self.destination = str(entry.get("destination") or "")
        if not self.destination or "\0" in self.destination:
            raise InvalidSpec(f"mount destination {self.destination!r} is not a path")
        # Relative destinations were once allowed and are still taken to begin at the root.
        self.destination = "/" + self.destination.lstrip("/")
        self.options: MountOptions = parse_options([str(each) for each in entry.get("options") or []])
        self.type = str(entry.get("type") or "")
        if self.type == "bind":
            self.options.bind = True
        if not self.type and not self.options.bind:
            raise InvalidSpec(f"mount {self.destination!r} has neither a type nor the option bind")
        self.source = str(entry.get("source") or "")
        for field in ("uidMappings", "gidMappings"):
            if entry.get(field):
                raise InvalidSpec(f"mount {self.destination!r}: {field} is not supported")


class Plan:
    """A configuration, parsed."""

    __slots__ = (
        "annotations", "cgroups_path", "devices", "domainname", "hooks", "hostname", "linux", "masked_paths",
        "mount_label", "mounts", "namespaces", "personality", "process", "readonly_paths", "root_path",
        "root_propagation", "root_readonly", "sysctl", "time_offsets",
    )  # fmt: skip

    def __init__(self, spec: Spec) -> None:
        linux = spec.get("linux") or {}
        root = spec.get("root") or {}
        self.linux: Spec = linux
        self.namespaces = Namespaces(linux.get("namespaces") or [])
        self.process = Process(spec.get("process") or {})
        self.mounts = [Mount(each) for each in spec.get("mounts") or []]
        self.root_path = str(root.get("path") or "")
        self.root_readonly = bool(root.get("readonly"))
        self.root_propagation = str(linux.get("rootfsPropagation") or "")
        self.hostname = str(spec.get("hostname") or "")
        self.domainname = str(spec.get("domainname") or "")
        self.hooks: dict[str, list[Spec]] = {k: v for k, v in (spec.get("hooks") or {}).items() if v}
        self.annotations: dict[str, str] = spec.get("annotations") or {}
        self.devices: list[Spec] = linux.get("devices") or []
        self.masked_paths: list[str] = linux.get("maskedPaths") or []
        self.readonly_paths: list[str] = linux.get("readonlyPaths") or []
        self.sysctl: dict[str, str] = linux.get("sysctl") or {}
        self.cgroups_path = str(linux.get("cgroupsPath") or "")
        self.mount_label = str(linux.get("mountLabel") or "")
        self.personality: Spec | None = linux.get("personality")
        self.time_offsets: dict[str, Spec] = linux.get("timeOffsets") or {}
        self._check()

    def _check(self) -> None:
        for field in _NOT_HERE:
            if self.linux.get(field):
                raise InvalidSpec(f"linux.{field} is not supported")
        namespaces = self.namespaces
        if self.root_propagation not in _ROOTFS_PROPAGATION:
            raise InvalidSpec(f"rootfsPropagation={self.root_propagation} is not supported")
        if not namespaces.has("mount"):
            raise InvalidSpec("a container without a mount namespace of its own cannot be made")
        if "mount" in namespaces.join:
            raise InvalidSpec(
                "joining the mount namespace of another container cannot have a root of its own"
            )
        if (self.hostname or self.domainname) and not namespaces.has("uts"):
            raise InvalidSpec("unable to set hostname without a private UTS namespace")
        private = namespaces.has("mount")
        if (self.masked_paths or self.readonly_paths) and not private:
            raise InvalidSpec("unable to restrict sys entries without a private MNT namespace")
        mapped = bool(self.linux.get("uidMappings") or self.linux.get("gidMappings"))
        if mapped and not namespaces.has("user"):
            raise InvalidSpec(
                "user namespace mappings specified, but user namespace isn't enabled in the config"
            )
        if "user" in namespaces.create and not mapped:
            raise InvalidSpec("user namespaces enabled, but no uid and gid mappings found")
        if self.time_offsets and "time" not in namespaces.create:
            raise InvalidSpec(
                "time namespace offsets specified, but time namespace isn't enabled in the config"
            )

    @property
    def clone_flags(self) -> int:
        """The namespaces that are made with the first process; it enters the others by itself, later."""
        late = {"mount", "cgroup", *({"time"} if self.time_offsets else ())}
        return sum(NAMESPACE_FLAGS[kind] for kind in self.namespaces.create - late)

    @property
    def new_user_namespace(self) -> bool:
        return "user" in self.namespaces.create

    @property
    def in_user_namespace(self) -> bool:
        return self.namespaces.has("user")


def environment(pairs: list[str]) -> dict[bytes, bytes]:
    """The environment that `pairs` of the form NAME=VALUE make; of equal names the last one counts.

    Nothing else gets in: the runtime's own environment is none of the container's business.
    """
    result: dict[bytes, bytes] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name or "\0" in pair:
            raise InvalidSpec(f"invalid environment variable: {pair!r}")
        result[encoded(name)] = encoded(value)
    return result


def encoded(text: str) -> bytes:
    """`text` of the configuration as bytes: JSON is UTF-8, whatever the locale of this process."""
    return text.encode("utf-8", "surrogateescape")


def _argument(text: object) -> bytes:
    if not isinstance(text, str) or "\0" in text:
        raise InvalidSpec(f"invalid argument: {text!r}")
    return encoded(text)


def _id(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAXIMUM_ID:
        raise InvalidSpec(f"{name} {value!r} is not a number from 0 to {_MAXIMUM_ID}")
    return value


def _console_size(size: Spec | None) -> tuple[int, int] | None:
    if not size:
        return None
    rows, columns = int(size.get("height") or 0), int(size.get("width") or 0)
    if not (0 <= rows <= 0xFFFF and 0 <= columns <= 0xFFFF):
        raise InvalidSpec(f"console size {columns}x{rows} is out of range")
    return (rows, columns) if rows or columns else None


def _capabilities(section: Spec | None) -> dict[str, frozenset[str]] | None:
    """The five sets, or None where the configuration leaves capabilities alone."""
    if section is None:
        return None
    return {kind: frozenset(section.get(kind) or ()) for kind in CAPABILITY_SETS}
