"""The metadata database: one writer, whole writes, and readers that never wait."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.core.metadata import Metadata, MetadataCorrupt, Schema
from wherry.errors import Conflict, Unsupported

NUMBERS = Schema(name="numbers", migrations=("CREATE TABLE numbers (n INTEGER PRIMARY KEY)",))


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[Metadata]:
    metadata = Metadata(tmp_path / "metadata.db", [NUMBERS])
    yield metadata
    metadata.close()


def insert(connection: sqlite3.Connection, number: int) -> int:
    connection.execute("INSERT INTO numbers VALUES (?)", (number,))
    return number


def numbers(metadata: Metadata) -> list[int]:
    return [row["n"] for row in metadata.read().execute("SELECT n FROM numbers ORDER BY n")]


def test_a_write_that_has_returned_is_read(metadata: Metadata) -> None:
    assert metadata.write(insert, 1) == 1

    assert numbers(metadata) == [1]


def test_a_write_that_fails_undoes_itself_and_nobody_elses(metadata: Metadata) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        insert(connection, 2)
        raise KeyError("half way")

    metadata.write(insert, 1)
    with pytest.raises(KeyError, match="half way"):
        metadata.write(fail)
    metadata.write(insert, 3)

    assert numbers(metadata) == [1, 3]


def test_writes_that_wait_share_a_commit_and_fail_apart(metadata: Metadata) -> None:
    outcomes: dict[int, object] = {}
    started = threading.Event()

    def hold(connection: sqlite3.Connection) -> None:
        started.set()
        time.sleep(0.2)

    def write(number: int) -> None:
        try:
            outcomes[number] = metadata.write(insert, number // 2)
        except sqlite3.IntegrityError as error:
            outcomes[number] = error

    holder = threading.Thread(target=metadata.write, args=[hold])
    holder.start()
    started.wait()
    threads = [threading.Thread(target=write, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in [holder, *threads]:
        thread.join()

    assert numbers(metadata) == list(range(10))
    assert sum(isinstance(outcome, sqlite3.IntegrityError) for outcome in outcomes.values()) == 10


def test_a_reader_does_not_wait_for_a_write(metadata: Metadata) -> None:
    metadata.write(insert, 1)
    inside, seen = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> bool:
        insert(connection, 2)
        inside.set()
        return seen.wait(10)

    thread = threading.Thread(target=metadata.write, args=[slow])
    thread.start()
    inside.wait()

    assert numbers(metadata) == [1]
    seen.set()
    thread.join()
    assert numbers(metadata) == [1, 2]


def test_a_reader_cannot_write(metadata: Metadata) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        metadata.read().execute("INSERT INTO numbers VALUES (1)")


def test_a_write_inside_a_write_is_refused_instead_of_waiting_for_itself(metadata: Metadata) -> None:
    with pytest.raises(Conflict, match="cannot start another"):
        metadata.write(lambda _connection: metadata.write(insert, 1))


def test_coroutines_write_without_stopping_the_loop(metadata: Metadata) -> None:
    async def both() -> list[int]:
        return await asyncio.gather(metadata.awrite(insert, 1), metadata.awrite(insert, 2))

    assert asyncio.run(both()) == [1, 2]


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Metadata(tmp_path / "metadata.db", [NUMBERS])
    first.write(insert, 1)
    first.close()

    second = Metadata(tmp_path / "metadata.db", [NUMBERS])

    assert numbers(second) == [1]
    second.close()


def test_closing_finishes_the_writes_that_wait_and_refuses_new_ones(metadata: Metadata) -> None:
    futures = [metadata._submit(lambda c, n=number: insert(c, n)) for number in range(300)]

    metadata.close()
    metadata.close()

    assert [future.result(0) for future in futures] == list(range(300))
    with pytest.raises(Conflict, match="closed"):
        metadata.write(insert, 1)


def test_migrations_run_once_and_in_order(tmp_path: Path) -> None:
    first = Metadata(tmp_path / "metadata.db", [NUMBERS])
    first.write(insert, 1)
    first.close()
    grown = Schema(
        name="numbers",
        migrations=(
            *NUMBERS.migrations,
            "ALTER TABLE numbers ADD COLUMN note TEXT; UPDATE numbers SET note = 'old'",
        ),
    )

    for _ in range(2):
        second = Metadata(tmp_path / "metadata.db", [grown])
        assert second.read().execute("SELECT note FROM numbers").fetchone()["note"] == "old"
        second.close()


def test_a_migration_that_fails_changes_nothing(metadata: Metadata) -> None:
    broken = Schema(name="broken", migrations=("CREATE TABLE one (n INTEGER); CREATE TABLE one (n INTEGER)",))

    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        metadata.register(broken)

    tables = metadata.read().execute("SELECT name FROM sqlite_master WHERE name = 'one'").fetchall()
    assert tables == []


def test_records_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    grown = Schema(name="numbers", migrations=(*NUMBERS.migrations, "CREATE TABLE more (n INTEGER)"))
    Metadata(tmp_path / "metadata.db", [grown]).close()

    older = Metadata(tmp_path / "metadata.db")
    with pytest.raises(Unsupported, match="the numbers records have version 2"):
        older.register(NUMBERS)
    older.close()


def test_a_database_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "metadata.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(Unsupported, match="format 99"):
        Metadata(tmp_path / "metadata.db")


def test_a_file_that_is_no_database_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "metadata.db").write_bytes(b"not a database" * 1000)

    with pytest.raises(MetadataCorrupt, match="is damaged"):
        Metadata(tmp_path / "metadata.db")
