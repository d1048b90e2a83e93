"""`--mount`: CSV of keys, as one entry of HostConfig.Mounts."""

from __future__ import annotations

import os

from wherry.cli.csv import read_record
from wherry.cli.flags import parse_bool
from wherry.cli.values import parse_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SWITCHES = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src")
_RECURSIVE = {
    "enabled": "",
    "disabled": "NonRecursive",
    "writable": "ReadOnlyNonRecursive",
    "readonly": "ReadOnlyForceRecursive",
}
_FAMILIES = (
    ("volume", "VolumeOptions"),
    ("bind", "BindOptions"),
    ("image", "ImageOptions"),
    ("tmpfs", "TmpfsOptions"),
)


def parse_mount(text: str) -> dict[str, Any]:
    """The mount that `text` describes.

    Raises:
        ValueError: in Docker's words.
    """
    value = text.strip()
    if not value:
        raise ValueError("value is empty")
    mount: dict[str, Any] = {"Type": "volume"}
    for field in read_record(value):
        key, equals, setting = field.partition("=")
        key = key.lower()
        if not equals and key not in _SWITCHES:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        _set(mount, key, setting if equals else "true", field)
    _check(mount)
    return mount


def _set(mount: dict[str, Any], key: str, value: str, field: str) -> None:
    if key == "type":
        mount["Type"] = value.lower()
    elif key in ("source", "src"):
        mount["Source"] = os.path.abspath(value) if value == "." or value.startswith("./") else value
    elif key in ("target", "dst", "destination"):
        mount["Target"] = value
    elif key in ("readonly", "ro"):
        mount["ReadOnly"] = _bool(key, value)
    elif key == "consistency":
        mount["Consistency"] = value.lower()
    elif (key.startswith("bind-") and _set_bind(mount, key, value)) or (
        key.startswith("volume-") and _set_volume(mount, key, value)
    ):
        pass
    elif key == "image-subpath":
        _options(mount, "ImageOptions")["Subpath"] = value
    elif key == "tmpfs-size":
        _options(mount, "TmpfsOptions")["SizeBytes"] = _parsed(key, value, parse_bytes)
    elif key == "tmpfs-mode":
        _options(mount, "TmpfsOptions")["Mode"] = _parsed(key, value, _octal)
    else:
        raise ValueError(f"unknown option '{key}' in '{field}'")


def _set_bind(mount: dict[str, Any], key: str, value: str) -> bool:
    options = _options(mount, "BindOptions")
    if key == "bind-propagation":
        options["Propagation"] = value.lower()
    elif key == "bind-nonrecursive":
        options["NonRecursive"] = _bool(key, value)
    elif key == "bind-create-src":
        options["CreateMountpoint"] = _bool(key, value)
    elif key == "bind-recursive":
        if value not in _RECURSIVE:
            raise ValueError(
                f'invalid value for {key}: {value} (must be "enabled", "disabled", "writable", or "readonly")'
            )
        if _RECURSIVE[value]:
            options[_RECURSIVE[value]] = True
    else:
        return False
    return True


def _set_volume(mount: dict[str, Any], key: str, value: str) -> bool:
    options = _options(mount, "VolumeOptions")
    if key == "volume-subpath":
        options["Subpath"] = value
    elif key == "volume-nocopy":
        options["NoCopy"] = _bool(key, value)
    elif key == "volume-label":
        name, _, setting = value.partition("=")
        options.setdefault("Labels", {})[name] = setting
    elif key == "volume-driver":
        options.setdefault("DriverConfig", {})["Name"] = value
    elif key == "volume-opt":
        name, _, setting = value.partition("=")
        options.setdefault("DriverConfig", {}).setdefault("Options", {})[name] = setting
    else:
        return False
    return True


def _check(mount: dict[str, Any]) -> None:
    kind = mount["Type"]
    if not kind:
        raise ValueError("type is required")
    if not mount.get("Target"):
        raise ValueError("target is required")
    for family, member in _FAMILIES:
        if member in mount and kind != family and not (family == "volume" and kind == "cluster"):
            raise ValueError(f"cannot mix '{family}-*' options with mount type '{kind}'")
    bind = mount.get("BindOptions", {})
    read_only = mount.get("ReadOnly")
    if bind.get("ReadOnlyNonRecursive") and not read_only:
        raise ValueError(
            "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction"
        )
    if bind.get("ReadOnlyForceRecursive"):
        if not read_only:
            raise ValueError(
                "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction"
            )
        if bind.get("Propagation") != "rprivate":
            raise ValueError(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' "
                "to be specified in conjunction"
            )


def _options(mount: dict[str, Any], member: str) -> dict[str, Any]:
    options: dict[str, Any] = mount.setdefault(member, {})
    return options


def _bool(key: str, value: str) -> bool:
    try:
        return parse_bool(value)
    except ValueError:
        raise ValueError(f"invalid value for {key}: {value}") from None


def _parsed(key: str, value: str, parse: Any) -> Any:
    try:
        return parse(value)
    except ValueError:
        raise ValueError(f"invalid value for {key}: {value}") from None


def _octal(text: str) -> int:
    return int(text, 8)
