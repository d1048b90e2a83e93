"""Content on the local disk: one file a blob.

    <root>/blobs/<algorithm>/<hex>    a published blob; never written to again
    <root>/ingest/<hex of the key>    a blob that is coming in, locked with flock by its block

A record never names a missing file: the file is published and its directory synced before the
record is written.  A crash between the two leaves a file without a record, which `sweep`
removes once it is older than the grace time.

Spec: image-spec, image-layout.md, Blobs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from wherry.core.content import (
    ContentMismatch,
    ContentNotFound,
    ContentStore,
    Info,
    IngestBusy,
)
from wherry.core.disk import disk_failures
from wherry.core.metadata import Metadata, Schema
from wherry.diagnostics.faults import fault_point
from wherry.errors import InvalidArgument
from wherry.files import json
from wherry.files.atomic import sync_directory, write_all
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest, digest_of, new_hasher

CHUNK_BYTES = 1 << 20
OCTETS = "application/octet-stream"

SCHEMA = Schema(
    name="content",
    migrations=(
        """
        CREATE TABLE blobs (
            digest TEXT PRIMARY KEY,
            size INTEGER NOT NULL,
            media_type TEXT NOT NULL,
            labels TEXT NOT NULL,
            created_at_ns INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
    ),
)


class LocalContent(ContentStore):
    """The content store of a single host, below `root`."""

    def __init__(self, root: Path, metadata: Metadata) -> None:
        self._blobs = root / "blobs"
        self._ingests = root / "ingest"
        self._metadata = metadata
        # Publishing and removing one digest must not interleave: file and record go together.
        self._names = threading.Lock()
        metadata.register(SCHEMA)

    @contextmanager
    def ingest(self, key: str, promised: Descriptor | None = None) -> Iterator[LocalIngest]:
        with self._claim(key) as blob:
            blob.expect(promised)
            try:
                yield blob  # any other exception leaves the partial file for the next try
                blob.verify()
            except ContentMismatch:
                blob.discard()
                raise
            with disk_failures(f"cannot store content {blob.descriptor.digest}"):
                self._publish(blob)

    def open(self, digest: Digest) -> IO[bytes]:
        try:
            return self._path(digest).open("rb")
        except FileNotFoundError:
            raise ContentNotFound(digest) from None

    def read(self, digest: Digest, *, limit_bytes: int) -> bytes:
        with self.open(digest) as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise InvalidArgument(f"content {digest} is larger than {limit_bytes} bytes")
        if digest_of(data, digest.algorithm) != digest:
            raise ContentMismatch(f"content {digest} is damaged on the disk")
        return data

    def path(self, digest: Digest) -> Path:
        path = self._path(digest)
        if not path.exists():
            raise ContentNotFound(digest)
        return path

    def exists(self, digest: Digest) -> bool:
        query = "SELECT 1 FROM blobs WHERE digest = ?"
        return self._metadata.read().execute(query, (digest,)).fetchone() is not None

    def info(self, digest: Digest) -> Info:
        return _get(self._metadata.read(), digest)

    def list(self) -> Iterator[Info]:
        rows = self._metadata.read().execute("SELECT * FROM blobs ORDER BY digest").fetchall()
        return (_info(row) for row in rows)

    def update_labels(self, digest: Digest, labels: Mapping[str, str | None]) -> Info:
        return self._metadata.write(_update_labels, digest, labels)

    def delete(self, digest: Digest, *, unless: Callable[[sqlite3.Connection], bool] | None = None) -> bool:
        with self._names:
            if not self._metadata.write(_delete, digest, unless):
                return False
            fault_point("content.record-removed")
            self._path(digest).unlink(missing_ok=True)
        return True

    def sweep(self, *, older_than_ns: int, keep: Callable[[str], bool] = lambda _name: False) -> int:
        """Remove what crashes and interrupted pulls left, last touched before `older_than_ns`.

        That is files without a record and ingests that no block holds; `keep` is asked for the
        file name of each ingest (`ingest_name`).  Returns how many went.
        """
        return self._sweep_blobs(older_than_ns) + self._sweep_ingests(older_than_ns, keep)

    def _sweep_blobs(self, older_than_ns: int) -> int:
        removed = 0
        for path in self._blobs.glob("*/*"):
            try:
                digest = Digest(f"{path.parent.name}:{path.name}")
                with self._names:
                    if path.stat().st_mtime_ns < older_than_ns and not self.exists(digest):
                        path.unlink()
                        removed += 1
            except (FileNotFoundError, InvalidArgument):
                continue
        return removed

    def _sweep_ingests(self, older_than_ns: int, keep: Callable[[str], bool]) -> int:
        removed = 0
        for path in self._ingests.glob("*"):
            if keep(path.name):
                continue
            try:
                with _lock(path, path.name, create=False) as fd:
                    if os.fstat(fd).st_mtime_ns < older_than_ns:
                        path.unlink()
                        removed += 1
            except (FileNotFoundError, IngestBusy):
                continue
        return removed

    @contextmanager
    def _claim(self, key: str) -> Iterator[LocalIngest]:
        """The partial file of `key`, locked, and hashed up to its offset."""
        self._ingests.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._ingests / ingest_name(key)
        with _lock(path, key, create=True) as fd:
            yield LocalIngest(path, fd)

    def _publish(self, blob: LocalIngest) -> None:
        digest = blob.descriptor.digest
        target = self._path(digest)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.utime(blob.fd)  # the grace time starts at the publication
        os.fsync(blob.fd)
        fault_point("content.blob-synced")
        with self._names:
            os.rename(blob.path, target)
            os.fchmod(blob.fd, 0o400)
            sync_directory(target.parent)
            fault_point("content.blob-published")
            self._metadata.write(_insert, blob.descriptor, time.time_ns())

    def _path(self, digest: Digest) -> Path:
        return self._blobs / digest.algorithm / digest.hex


class LocalIngest:
    """A partial file that is hashed as it grows."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.offset = 0
        self._promised: Descriptor | None = None
        self._hash = new_hasher()

    def expect(self, promised: Descriptor | None) -> None:
        """Say what will come, and hash what is here already."""
        self._promised = promised
        self._hash = promised.digest.hasher() if promised else new_hasher()
        if promised and os.fstat(self.fd).st_size > promised.size:
            self.restart()
        while chunk := os.pread(self.fd, CHUNK_BYTES, self.offset):
            self._hash.update(chunk)
            self.offset += len(chunk)
        os.lseek(self.fd, self.offset, os.SEEK_SET)

    @property
    def descriptor(self) -> Descriptor:
        digest = Digest(f"{self._hash.name}:{self._hash.hexdigest()}")
        media_type = self._promised.media_type if self._promised else OCTETS
        return Descriptor(media_type, digest, self.offset)

    def write(self, data: bytes | memoryview) -> int:
        end = self.offset + len(data)
        if self._promised and end > self._promised.size:
            raise ContentMismatch(
                f"content {self._promised.digest}: got at least {end} bytes, expected {self._promised.size}"
            )
        with disk_failures("cannot store content"):
            try:
                write_all(self.fd, data)
            except OSError:
                os.truncate(self.fd, self.offset)  # to what was hashed: the next try goes on from here
                raise
        self._hash.update(data)
        self.offset = end
        return len(data)

    def restart(self) -> None:
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        self.offset = 0
        self._hash = new_hasher(self._hash.name)

    def verify(self) -> None:
        """Compare with what was promised.

        Raises:
            ContentMismatch: another size or digest.
        """
        promised = self._promised
        if promised is None:
            return
        if self.offset != promised.size:
            raise ContentMismatch(
                f"content {promised.digest}: got {self.offset} bytes, expected {promised.size}"
            )
        found = self.descriptor.digest
        if found != promised.digest:
            raise ContentMismatch(f"content digest is {found}, expected {promised.digest}")

    def discard(self) -> None:
        """Remove the partial file: it can never become what was promised."""
        self.path.unlink(missing_ok=True)


def ingest_name(key: str) -> str:
    """The file name of an ingest: keys may hold anything."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


@contextmanager
def _lock(path: Path, key: str, *, create: bool) -> Iterator[int]:
    """Open and lock `path`; whoever held it before may have renamed or removed it meanwhile."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    while True:
        fd = os.open(path, flags, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise IngestBusy(key) from None
            if _is_at(fd, path):
                yield fd
                return
        finally:
            os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(fd))


def _insert(connection: sqlite3.Connection, blob: Descriptor, now_ns: int) -> None:
    connection.execute(
        "INSERT INTO blobs VALUES (?, ?, ?, '{}', ?)"
        " ON CONFLICT (digest) DO UPDATE SET created_at_ns = excluded.created_at_ns",
        (blob.digest, blob.size, blob.media_type, now_ns),
    )


def _get(connection: sqlite3.Connection, digest: Digest) -> Info:
    row = connection.execute("SELECT * FROM blobs WHERE digest = ?", (digest,)).fetchone()
    if row is None:
        raise ContentNotFound(digest)
    return _info(row)


def _delete(
    connection: sqlite3.Connection, digest: Digest, unless: Callable[[sqlite3.Connection], bool] | None
) -> bool:
    _get(connection, digest)
    if unless is not None and unless(connection):
        return False
    connection.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
    return True


def _update_labels(connection: sqlite3.Connection, digest: Digest, changes: Mapping[str, str | None]) -> Info:
    merged = {**_get(connection, digest).labels, **changes}
    labels = {key: value for key, value in merged.items() if value is not None}
    connection.execute("UPDATE blobs SET labels = ? WHERE digest = ?", (json.dumps(labels), digest))
    return _get(connection, digest)


def _info(row: sqlite3.Row) -> Info:
    return Info(
        digest=Digest(row["digest"]),
        size=row["size"],
        media_type=row["media_type"],
        created_at_ns=row["created_at_ns"],
        labels=json.loads(row["labels"]),
    )
