"""Host devices as the runtime wants them: nodes to make and rules to allow them.

Spec: runtime-spec, config-linux.md, Devices; moby's daemon/pkg/oci/devices_linux.go.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from wherry.api.types import DeviceMapping
from wherry.errors import InvalidArgument, WherryError

_RULE = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})")
_PERMISSIONS = re.compile(r"[rwm]{1,3}")
_SKIPPED_DIRECTORIES = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})
_SKIPPED = frozenset({"/dev/console", "/dev/ptmx"})  # the container has its own

Node = dict[str, Any]
Rule = dict[str, Any]


class DeviceMissing(WherryError):
    """A device that was asked for is not there, or is none."""


def device_rules(rules: list[str] | None) -> list[Rule]:
    """`DeviceCgroupRules` such as `c 42:* rwm`.

    Raises:
        InvalidArgument: of another form.
    """
    return [_rule(text) for text in rules or ()]


def _rule(text: str) -> Rule:
    match = _RULE.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"invalid device cgroup rule format: '{text}'")
    rule: Rule = {"allow": True, "type": match[1], "access": match[4]}
    for key, number in (("major", match[2]), ("minor", match[3])):
        if number != "*":
            rule[key] = int(number)
    return rule


def check_devices(devices: list[DeviceMapping] | None) -> None:
    """Refuse mappings that cannot be, whatever the host has.

    Raises:
        InvalidArgument: with Docker's text.
    """
    for device in devices or ():
        if device.cgroup_permissions and not _PERMISSIONS.fullmatch(device.cgroup_permissions):
            raise InvalidArgument(f"invalid device mode: {device.cgroup_permissions}")
        target = device.path_in_container
        if target and not target.startswith("/"):
            raise InvalidArgument(f"invalid device path in container: {target}: it must be absolute")


def mapped_devices(devices: list[DeviceMapping] | None) -> tuple[list[Node], list[Rule]]:
    """Nodes and rules of `--device`; a directory stands for the devices below it.  Reads the host.

    Raises:
        DeviceMissing: no such device.
    """
    nodes: list[Node] = []
    for device in devices or ():
        nodes += _mapped(device)
    rules = [_allow(node, node.pop("access")) for node in nodes]
    return nodes, rules


def _mapped(device: DeviceMapping) -> list[Node]:
    source = device.path_on_host
    target = device.path_in_container or source
    access = device.cgroup_permissions or "rwm"
    node = _node(source, target)
    if node is not None:
        return [node | {"access": access}]
    if not os.path.isdir(source):
        raise DeviceMissing(
            f'error gathering device information while adding custom device "{source}": '
            "no such file or directory"
        )
    below = [
        found | {"access": access}
        for path in _walk(source)
        if (found := _node(path, target.rstrip("/") + path[len(source.rstrip("/")) :], follow=False))
    ]
    if not below:
        raise DeviceMissing(
            f'error gathering device information while adding custom device "{source}": not a device node'
        )
    return below


def all_host_devices() -> list[Node]:
    """Every device node of the host's /dev, for a privileged container."""
    return [node for path in _walk("/dev") if (node := _node(path, path, follow=False))]


def _walk(root: str) -> list[str]:
    found: list[str] = []
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name not in _SKIPPED_DIRECTORIES]
        found += [path for name in files if (path := os.path.join(directory, name)) not in _SKIPPED]
    return sorted(found)


def _node(path: str, target: str, *, follow: bool = True) -> Node | None:
    """The device node at `path`, or None for anything else."""
    try:
        status = os.stat(path, follow_symlinks=follow)
    except OSError:
        return None
    kind = "c" if stat.S_ISCHR(status.st_mode) else "b" if stat.S_ISBLK(status.st_mode) else ""
    if not kind:
        return None
    return {
        "path": target,
        "type": kind,
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def _allow(node: Node, access: str) -> Rule:
    return {
        "allow": True,
        "type": node["type"],
        "major": node["major"],
        "minor": node["minor"],
        "access": access,
    }
