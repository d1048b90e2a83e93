"""Which mounts a container gets: `-v` strings, structured mounts, tmpfs, images' VOLUMEs.

Pure: a host configuration goes in, `MountPoint`s come out; nothing is made or looked up but
through what the caller passes.  An image names destinations only, never a source.

Spec: moby's daemon/volume/mounts for rules and texts.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from wherry.api.types import HostConfig, Mount
from wherry.engine.records import MountPoint
from wherry.engine.tmpfs import DEFAULT_OPTIONS, tmpfs_options
from wherry.errors import InvalidArgument

PROPAGATIONS = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
_ACCESS = frozenset({"ro", "rw"})
_LABELS = frozenset({"z", "Z"})
_CONSISTENCY = frozenset({"consistent", "cached", "delegated", "default"})
_ReadOnly = Literal["recursive", "forced", "top"]


class Volumes(msgspec.Struct, frozen=True):
    """What the plan needs to know about volumes: the data directory of a name, and a new name."""

    data: Callable[[str], str]
    new_name: Callable[[], str]


def plan_mounts(
    host: HostConfig,
    image_volumes: Iterable[str],
    *,
    volumes: Volumes,
    exists: Callable[[str], bool],
    others: Mapping[str, tuple[MountPoint, ...]] | None = None,
) -> tuple[MountPoint, ...]:
    """The mounts of a new container, in the order of their precedence.

    `others` has the mounts of each container that `VolumesFrom` names.

    Raises:
        InvalidArgument: a mount that cannot be, with Docker's text.
    """
    inherited: dict[str, MountPoint] = {}
    for entry in host.volumes_from or ():
        inherited |= _inherit(entry, others or {})
    own: dict[str, MountPoint] = {}
    planned = [parse_bind(spec, volumes) for spec in host.binds or ()]
    planned += [from_mount(mount, volumes, exists) for mount in host.mounts or ()]
    planned += [_from_tmpfs(path, options) for path, options in (host.tmpfs or {}).items()]
    for point in planned:
        if point.destination in own:
            raise InvalidArgument(f"Duplicate mount point: {point.destination}")
        own[point.destination] = point
    points = inherited | own
    for destination in image_volumes:
        path = _clean_destination(destination)
        if path not in points:
            points[path] = _volume("", path, volumes)
    return tuple(points.values())


def parse_bind(spec: str, volumes: Volumes) -> MountPoint:
    """The mount of one `-v` string, `[source:]destination[:mode]`.

    Raises:
        InvalidArgument: `invalid volume specification: 'SPEC'` and what is wrong with it.
    """
    parts = spec.split(":")
    if len(parts) > 3 or not parts[0] or (len(parts) == 2 and _mode_is_valid(parts[1])):
        raise InvalidArgument(f"invalid volume specification: '{spec}'")
    if len(parts) == 1:
        return _volume("", _checked(spec, "volume", parts[0]), volumes)
    source, destination = parts[0], parts[1]
    mode = parts[2] if len(parts) == 3 else ""
    if not destination:
        raise InvalidArgument(f"invalid volume specification: '{spec}'")
    if not _mode_is_valid(mode):
        raise InvalidArgument(f"invalid mode: {mode}")
    words = [word for word in mode.split(",") if word]
    rw = "ro" not in words
    propagation = next((word for word in words if word in PROPAGATIONS), "")
    if not source.startswith("/"):
        path = _checked(spec, "volume", destination)
        point = _volume(source, path, volumes, rw=rw, copy_up="nocopy" not in words)
        return msgspec.structs.replace(point, mode=mode or "z")
    if "nocopy" in words:
        raise InvalidArgument(f"invalid mode: {mode}")
    return MountPoint(
        type="bind",
        source=posixpath.normpath(source),
        destination=_checked(spec, "bind", destination),
        mode=mode,
        rw=rw,
        propagation=propagation or "rprivate",
        create_source=True,
    )


def from_mount(mount: Mount, volumes: Volumes, exists: Callable[[str], bool]) -> MountPoint:
    """The mount of a structured request.

    Raises:
        InvalidArgument: `invalid mount config for type "T": …`.
    """
    try:
        if not mount.target:
            raise InvalidArgument("field Target must not be empty")
        destination = _clean_destination(mount.target)
        if mount.type == "bind":
            return _from_bind(mount, destination, exists)
        if mount.type == "volume":
            return _from_volume(mount, destination, volumes)
        if mount.type == "tmpfs":
            return _from_tmpfs_mount(mount, destination)
        raise InvalidArgument("mount type unknown")
    except InvalidArgument as error:
        raise InvalidArgument(f'invalid mount config for type "{mount.type}": {error}') from None


def _from_bind(mount: Mount, destination: str, exists: Callable[[str], bool]) -> MountPoint:
    options = mount.bind_options
    _refuse(mount, "VolumeOptions", "TmpfsOptions", "ImageOptions")
    if not mount.source:
        raise InvalidArgument("field Source must not be empty")
    propagation = options.propagation if options else ""
    if propagation and propagation not in PROPAGATIONS:
        raise InvalidArgument(f"invalid propagation mode: {propagation}")
    if not mount.source.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{mount.source}' mount path must be absolute")
    create = bool(options and options.create_mountpoint)
    if not create and not exists(mount.source):
        raise InvalidArgument(f"bind source path does not exist: {mount.source}")
    if options and options.read_only_non_recursive and options.read_only_force_recursive:
        raise InvalidArgument("ReadOnlyNonRecursive and ReadOnlyForceRecursive exclude each other")
    return MountPoint(
        type="bind",
        source=posixpath.normpath(mount.source),
        destination=destination,
        rw=not mount.read_only,
        propagation=propagation or "rprivate",
        recursive=not (options and options.non_recursive),
        read_only=_read_only_reach(mount),
        create_source=create,
    )


def _read_only_reach(mount: Mount) -> _ReadOnly:
    options = mount.bind_options
    if options and options.read_only_force_recursive:
        if not mount.read_only:
            raise InvalidArgument("option 'ReadOnlyForceRecursive' requires 'ReadOnly'")
        return "forced"
    return "top" if options and options.read_only_non_recursive else "recursive"


def _from_volume(mount: Mount, destination: str, volumes: Volumes) -> MountPoint:
    options = mount.volume_options
    _refuse(mount, "BindOptions", "TmpfsOptions", "ImageOptions")
    if options and options.subpath:
        raise InvalidArgument("field Subpath is not supported by this engine")
    if mount.read_only and not mount.source:
        raise InvalidArgument("must not set ReadOnly mode when using anonymous volumes")
    driver = options.driver_config if options else None
    point = _volume(
        mount.source, destination, volumes, rw=not mount.read_only, copy_up=not (options and options.no_copy)
    )
    return msgspec.structs.replace(
        point,
        mode="z",
        labels=(options.labels if options else None) or {},
        driver=(driver.name if driver else "") or "local",
        driver_options=(driver.options if driver else None) or {},
    )


def _from_tmpfs_mount(mount: Mount, destination: str) -> MountPoint:
    _refuse(mount, "BindOptions", "VolumeOptions", "ImageOptions")
    if mount.source:
        raise InvalidArgument("field Source must not be specified")
    options = mount.tmpfs_options
    words = [] if options is None else ["=".join(pair) for pair in options.options or ()]
    if options and options.size_bytes:
        words.append(f"size={options.size_bytes}")
    if options and options.mode:
        words.append(f"mode={options.mode:o}")
    if mount.read_only:
        words.append("ro")
    return MountPoint(
        type="tmpfs", destination=destination, rw=not mount.read_only, tmpfs_options=tmpfs_options(words)
    )


def _from_tmpfs(path: str, options: str) -> MountPoint:
    words = tmpfs_options([word for word in options.split(",") if word])
    return MountPoint(
        type="tmpfs",
        destination=_clean_destination(path),
        rw="ro" not in words,
        tmpfs_options=words or DEFAULT_OPTIONS,
        listed=False,
    )


def _volume(
    name: str, destination: str, volumes: Volumes, *, rw: bool = True, copy_up: bool = True
) -> MountPoint:
    chosen = name or volumes.new_name()
    return MountPoint(
        type="volume",
        name=chosen,
        source=volumes.data(chosen),
        destination=destination,
        driver="local",
        rw=rw,
        copy_up=copy_up,
        anonymous=not name,
    )


def _inherit(entry: str, others: Mapping[str, tuple[MountPoint, ...]]) -> dict[str, MountPoint]:
    name, _, mode = entry.partition(":")
    if mode and not _mode_is_valid(mode):
        raise InvalidArgument(f"invalid mode: {mode}")
    if not name:
        raise InvalidArgument(f"malformed volumes-from specification: {entry}")
    rw = "ro" not in mode.split(",")
    return {
        point.destination: msgspec.structs.replace(
            point, rw=rw and point.rw, mode=mode or point.mode, copy_up=False, anonymous=False
        )
        for point in others[name]
        if point.type != "tmpfs"
    }


def _refuse(mount: Mount, *fields: str) -> None:
    given = {
        "BindOptions": mount.bind_options,
        "VolumeOptions": mount.volume_options,
        "TmpfsOptions": mount.tmpfs_options,
        "ImageOptions": mount.image_options,
    }
    for field in fields:
        if given[field] is not None:
            raise InvalidArgument(f"field {field} must not be specified")


def _checked(spec: str, kind: str, destination: str) -> str:
    try:
        return _clean_destination(destination)
    except InvalidArgument as error:
        text = f"invalid volume specification: '{spec}': invalid mount config for type \"{kind}\": {error}"
        raise InvalidArgument(text) from None


def _clean_destination(path: str) -> str:
    """`path` without `.` and `..`, checked."""
    if not path.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{path}' mount path must be absolute")
    if "\0" in path:
        raise InvalidArgument("invalid mount path: it holds a NUL byte")
    clean = "/" + posixpath.normpath(path).lstrip("/")
    if clean == "/":
        raise InvalidArgument("invalid specification: destination can't be '/'")
    return clean


def _mode_is_valid(mode: str) -> bool:
    words = [word for word in mode.split(",") if word]
    if mode and not words:
        return False
    known = _ACCESS | _LABELS | _CONSISTENCY | PROPAGATIONS | {"nocopy"}
    groups = (_ACCESS, _LABELS, _CONSISTENCY, PROPAGATIONS)
    return all(word in known for word in words) and all(
        sum(word in group for word in words) <= 1 for group in groups
    )
