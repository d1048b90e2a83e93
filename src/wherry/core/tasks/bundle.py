"""Bundles: `<exec-root>/tasks/<tenant>/<id>/`, one for each task (its files: `wherry.shim.protocol`).

The daemon makes and removes the directory and writes config.json and shim.json; the rest is the shim's.
A bundle is used for one task and never again: removal renames it away first, so that a name either has a
whole bundle or none.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from wherry.core.tasks.values import CreateTask
from wherry.diagnostics.faults import fault_point
from wherry.errors import AlreadyExists, InvalidArgument
from wherry.shim import protocol

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_REMOVED = ".removed-"


class BundleExists(AlreadyExists):
    """There is a bundle of this id, so its task is not deleted yet."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"task {task_id} already exists")


def bundle_path(root: Path, tenant: str, task_id: str) -> Path:
    """Where the bundle of this task is.

    Raises:
        InvalidArgument: a name that is not one plain path component.
    """
    for name in (tenant, task_id):
        if not name or name[0] == "." or len(name) > 128 or not _SAFE.issuperset(name):
            raise InvalidArgument(f"invalid task name {name!r}: expected letters, digits, '_', '.' and '-'")
    return root / tenant / task_id


def write_bundle(path: Path, request: CreateTask, seccomp_cache: str) -> None:
    """Make the bundle of `request`: the request is written before anything is done about it.

    Raises:
        BundleExists: there is one of this id.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        raise BundleExists(request.id) from None
    fault_point("tasks.bundle-made")
    try:
        _write(path / protocol.CONFIG, msgspec.json.encode(request.spec))
        _write(path / protocol.REQUEST, msgspec.json.encode(_shim_request(request, seccomp_cache)))
        _write(path / protocol.LOCK, b"")
    except BaseException:
        remove_bundle(path)
        raise


def _shim_request(request: CreateTask, seccomp_cache: str) -> dict[str, object]:
    return {
        "tenant": request.tenant,
        "id": request.id,
        "rootfs": [
            {"type": each.type, "source": each.source, "options": list(each.options)}
            for each in request.rootfs
        ],
        "terminal": request.terminal,
        "stdin": request.stdin,
        "log": request.log,
        "labels": request.labels,
        "seccomp_cache": seccomp_cache,
    }


def _write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
    finally:
        os.close(fd)


def retire_bundle(path: Path) -> Path:
    """Take a bundle's name away; returns what is to be emptied.  One that is gone is no error."""
    doomed = path.with_name(f"{_REMOVED}{path.name}-{time.monotonic_ns()}")
    try:
        path.rename(doomed)
    except FileNotFoundError:
        pass
    fault_point("tasks.bundle-renamed")
    return doomed


def remove_bundle(path: Path) -> None:
    """Remove a bundle, at once as far as its name goes; one that is gone is no error."""
    empty_retired(retire_bundle(path))


def empty_retired(doomed: Path) -> None:
    """Remove what `retire_bundle` returned."""
    shutil.rmtree(doomed, ignore_errors=True)


def find_bundles(root: Path) -> Iterator[Path]:
    """Every bundle below `root`; what a removal left half done is removed on the way."""
    for tenant in sorted(root.iterdir()) if root.is_dir() else []:
        for path in sorted(tenant.iterdir()):
            if path.name.startswith(_REMOVED):
                shutil.rmtree(path)
            else:
                yield path


def read_record(path: Path) -> dict[str, Any]:
    """What the shim has recorded last; empty where there is nothing to read."""
    try:
        record: dict[str, Any] = msgspec.json.decode((path / protocol.RECORD).read_bytes())
        return record
    except (OSError, msgspec.DecodeError):
        return {}


def is_locked(path: Path) -> bool:
    """Whether a shim lives that holds this bundle."""
    try:
        fd = os.open(path / protocol.LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
