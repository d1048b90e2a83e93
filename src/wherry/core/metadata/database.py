"""The SQLite database, its one writer, and its schemas.

Each store brings a `Schema`: scripts that are applied once and in order.  How many of each
have been applied stands in the table `schemas`; `PRAGMA user_version` holds the version of
that arrangement itself.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from wherry.errors import Conflict, DataLoss, ResourceExhausted, Unsupported

P = ParamSpec("P")
T = TypeVar("T")

FORMAT = 1
GROUP_LIMIT = 256
"""Writes in one commit at most: a bound on how long the first waits for the last."""


class MetadataCorrupt(DataLoss):
    """The database file is damaged or is no database."""


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """The tables of one store: `migrations` are applied once each, in order, and never edited."""

    name: str
    migrations: tuple[str, ...]


class Metadata:
    """The database of one data root; used from any thread by one process."""

    def __init__(self, path: Path, schemas: Iterable[Schema] = ()) -> None:
        """Open or create the database and bring its schemas up to date.

        Raises:
            MetadataCorrupt: the file is damaged.
            Unsupported: a newer version wrote it.
        """
        self._path = path
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._closed = False
        self._writes: SimpleQueue[_Write | None] = SimpleQueue()
        try:
            self._connection = _open(path)
            _prepare(self._connection, path)
        except sqlite3.DatabaseError as error:
            raise _translate(error, path) from error
        self._writer = threading.Thread(target=self._run, name="metadata-writer", daemon=True)
        self._writer.start()
        for schema in schemas:
            self.register(schema)

    def register(self, schema: Schema) -> None:
        """Create or migrate the tables of `schema`; cheap when there is nothing to do.

        Raises:
            Unsupported: a newer version wrote the tables.
        """
        self.write(_migrate, schema)

    def read(self) -> sqlite3.Connection:
        """This thread's connection for reading; it sees every write that has returned."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            if self._closed:
                raise Conflict(f"metadata {self._path} is closed")
            connection = _open(self._path)
            connection.execute("PRAGMA query_only = 1")
            self._local.connection = connection
            with self._readers_lock:
                self._readers.append(connection)
        return connection

    def write(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `function(connection, *args)` on the writer; return when its commit is on the disk.

        What the function raises undoes its changes alone and is raised here.

        Raises:
            ResourceExhausted: the disk is full.
            MetadataCorrupt: the database is damaged.
        """
        return self._submit(lambda connection: function(connection, *args, **kwargs)).result()

    async def awrite(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`write` for coroutines.  A cancelled one may or may not have happened."""
        future = self._submit(lambda connection: function(connection, *args, **kwargs))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish the writes that wait and close every connection."""
        if self._closed:
            return
        self._closed = True
        self._writes.put(None)
        self._writer.join()
        with self._readers_lock:
            for connection in [*self._readers, self._connection]:
                connection.close()

    def _submit(self, function: Callable[[sqlite3.Connection], T]) -> Future[T]:
        if self._closed:
            raise Conflict(f"metadata {self._path} is closed")
        if threading.current_thread() is self._writer:
            raise Conflict("a write to the metadata cannot start another one")
        write = _Write(function)
        self._writes.put(write)
        return write.future

    def _run(self) -> None:
        while (first := self._writes.get()) is not None:
            group = [first]
            last = False
            while len(group) < GROUP_LIMIT and not self._writes.empty():
                following = self._writes.get()
                if following is None:
                    last = True
                    break
                group.append(following)
            self._commit(group)
            if last:
                return

    def _commit(self, group: list[_Write]) -> None:
        """Run a group in one transaction; each write in a savepoint of its own."""
        connection = self._connection
        running = [write for write in group if write.future.set_running_or_notify_cancel()]
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write in running:
                write.run(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            # The commit failed, so nothing of the group happened: every one of them must know.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            cause = _translate(error, self._path) if isinstance(error, sqlite3.Error) else error
            for write in running:
                write.future.set_exception(cause)
        else:
            for write in running:
                write.tell()


class _Write:
    """One write: its function, and what came of it once the group is committed."""

    __slots__ = ("_error", "_function", "_result", "future")

    def __init__(self, function: Callable[[sqlite3.Connection], Any]) -> None:
        self.future: Future[Any] = Future()
        self._function = function
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        connection.execute("SAVEPOINT one")
        try:
            self._result = self._function(connection)
        except BaseException as error:
            self._error = error
            connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")

    def tell(self) -> None:
        if self._error is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(self._error)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.row_factory = sqlite3.Row
    # FULL: a commit survives a power failure, which a record of a started container must.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = 1", "busy_timeout = 30000"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise Unsupported(
            f"metadata {path} has format {version}: this version of wherry reads up to {FORMAT}"
        )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schemas (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT"
    )
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _migrate(connection: sqlite3.Connection, schema: Schema) -> None:
    row = connection.execute("SELECT version FROM schemas WHERE name = ?", (schema.name,)).fetchone()
    applied: int = row["version"] if row else 0
    known = len(schema.migrations)
    if applied > known:
        raise Unsupported(
            f"the {schema.name} records have version {applied}: this version of wherry reads up to {known}"
        )
    if applied == known:
        return
    for script in schema.migrations[applied:]:
        for statement in script.split(";"):
            if statement.strip():
                connection.execute(statement)
    connection.execute("INSERT OR REPLACE INTO schemas (name, version) VALUES (?, ?)", (schema.name, known))


def _translate(error: BaseException, path: Path) -> BaseException:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return ResourceExhausted(f"metadata {path}: no space left on device")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return MetadataCorrupt(f"metadata {path} is damaged: {error}")
    return error
