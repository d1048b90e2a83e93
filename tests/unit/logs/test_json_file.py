"""The json-file log: Docker's bytes, nothing lost, nothing forged."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.logs.json_file import LINE_LIMIT, JsonFileReader, JsonFileWriter
from wherry.logs.json_file.encoding import escape_lines, format_time
from wherry.logs.json_file.reader import parse_time

NOON = 1_767_355_445_678_901_234  # 2026-01-02T12:04:05.678901234Z


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "id-json.log")


@pytest.fixture
def log(path: str) -> Iterator[JsonFileWriter]:
    log = JsonFileWriter(path)
    yield log
    log.close()


def texts(path: str, **wanted: object) -> list[bytes]:
    with JsonFileReader(path) as reader:
        return [text for _, _, text, _ in reader.read(**wanted)]  # type: ignore[arg-type]


class TestFormat:
    def test_a_line_is_written_as_docker_writes_it(self, path: str, log: JsonFileWriter) -> None:
        log.write("stdout", b"hello\n", NOON)

        assert Path(path).read_bytes() == (
            b'{"log":"hello\\n","stream":"stdout","time":"2026-01-02T12:04:05.678901234Z"}\n'
        )

    def test_attributes_stand_before_the_time(self, path: str) -> None:
        log = JsonFileWriter(path, attrs={"b": "<&>", "a": 'x"y'})

        log.write("stderr", b"x\n", 0)

        log.close()
        assert Path(path).read_bytes() == (
            b'{"log":"x\\n","stream":"stderr","attrs":{"a":"x\\"y","b":"\\u003c\\u0026\\u003e"},'
            b'"time":"1970-01-01T00:00:00Z"}\n'
        )

    def test_binary_output_stays_valid_and_keeps_its_lines(self, path: str, log: JsonFileWriter) -> None:
        data = os.urandom(200_000) + b"\n"

        log.write("stdout", data, NOON)

        written = b"".join(texts(path))
        assert written.count(b"\n") == data.count(b"\n")
        assert written.decode() == data.decode("utf-8", "replace")

    @given(st.text(alphabet='"\\\n\r\t\b\f\x00\x7f<>&a?\u2028\uffff\x80ü€', max_size=200))
    def test_dense_and_sparse_text_is_escaped_alike(self, text: str) -> None:
        padding = b"." * 100_000

        assert escape_lines(text.encode() + padding) == escape_lines(text.encode()) + padding

    @pytest.mark.parametrize(
        ("raw", "written"),
        [
            (b"\0\x1b\t\r", b"\\u0000\\u001b\\u0009\\r"),
            (b'"\\?', b'\\"\\\\?'),
            (b"<>&\x7f/", b"\\u003c\\u003e\\u0026\x7f/"),
            (b"\xc3\xbc\xe2\x80\xa8\xe2\x80\xa9", b"\xc3\xbc\\u2028\\u2029"),
            (b'\0\x1b\r"\\<>&?\xff?', b'\\u0000\\u001b\\r\\"\\\\\\u003c\\u003e\\u0026?\\ufffd?'),
        ],
    )
    def test_escapes_are_those_of_go(
        self, path: str, log: JsonFileWriter, raw: bytes, written: bytes
    ) -> None:
        log.write("stdout", raw + b"\n", NOON)

        assert Path(path).read_bytes().startswith(b'{"log":"' + written + b'\\n",')

    @pytest.mark.parametrize(
        ("raw", "written"),
        [
            (b"\xff", b"\\ufffd"),
            (b"\xff?\xef\xbf\xbf", b"\\ufffd?\xef\xbf\xbf"),
            (b"a\xc3", b"a\\ufffd"),
            (b"\xe2\x82x", b"\\ufffd\\ufffdx"),
            (b"\xed\xa0\x80", b"\\ufffd\\ufffd\\ufffd"),
            (b"\xef\xbf\xbd", b"\xef\xbf\xbd"),
            (b"\xc0\x80", b"\\ufffd\\ufffd"),
        ],
    )
    def test_bytes_that_are_no_utf_8_are_replaced_one_by_one(
        self, path: str, log: JsonFileWriter, raw: bytes, written: bytes
    ) -> None:
        log.write("stdout", raw + b"\n", NOON)

        assert Path(path).read_bytes().startswith(b'{"log":"' + written + b'\\n"')

    @pytest.mark.parametrize(
        ("time_ns", "text"),
        [
            (0, "1970-01-01T00:00:00Z"),
            (1_500_000_000, "1970-01-01T00:00:01.5Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
        ],
    )
    def test_zeros_at_the_end_of_a_time_are_cut(self, time_ns: int, text: str) -> None:
        assert format_time(time_ns) == text

    @given(st.integers(0, 10**19))
    def test_times_are_read_back(self, time_ns: int) -> None:
        assert parse_time(format_time(time_ns)) == time_ns

    @pytest.mark.parametrize(
        ("text", "same"),
        [
            ("2026-01-02T14:04:05.6+02:00", "2026-01-02T12:04:05.6Z"),
            ("2026-01-02T00:04:05-12:30", "2026-01-02T12:34:05Z"),
            ("2024-02-29T23:59:60.1234567891Z", "2024-03-01T00:00:00.123456789Z"),
        ],
    )
    def test_times_of_other_writers_are_read(self, text: str, same: str) -> None:
        assert parse_time(text) == parse_time(same)

    @pytest.mark.parametrize(
        "text", ["", "2026-01-02", "2026-01-02T12:04:05", "2026-01-02 12:04:05Z", "x" * 30]
    )
    def test_what_is_no_time_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError):
            parse_time(text)


class TestLines:
    def test_a_line_waits_for_its_end_and_streams_do_not_mix(self, path: str, log: JsonFileWriter) -> None:
        log.write("stdout", b"out", NOON)
        log.write("stderr", b"err", NOON)
        assert texts(path) == []

        log.write("stdout", b"put\nmore", NOON)
        log.write("stderr", b"or\n", NOON)
        log.flush(NOON)

        assert texts(path) == [b"output\n", b"error\n", b"more"]

    def test_a_character_that_two_reads_part_stays_whole(self, path: str, log: JsonFileWriter) -> None:
        for byte in "grün €\n".encode():
            log.write("stdout", bytes([byte]), NOON)

        assert texts(path) == ["grün €\n".encode()]

    @pytest.mark.parametrize(
        ("length", "parts"),
        [
            (LINE_LIMIT - 1, [LINE_LIMIT]),
            (LINE_LIMIT, [LINE_LIMIT, 1]),
            (LINE_LIMIT + 1, [LINE_LIMIT, 2]),
            (3 * LINE_LIMIT, [LINE_LIMIT] * 3 + [1]),
        ],
    )
    def test_a_long_line_is_cut_after_16_kib_as_docker_does(
        self, path: str, log: JsonFileWriter, length: int, parts: list[int]
    ) -> None:
        log.write("stdout", b"a\n" + b"x" * length + b"\nb\n", NOON)

        lengths = [len(text) for text in texts(path)]
        assert lengths == [2, *parts, 2]

    def test_a_full_part_is_written_although_the_line_goes_on(self, path: str, log: JsonFileWriter) -> None:
        log.write("stdout", b"x" * LINE_LIMIT, NOON)

        assert texts(path) == [b"x" * LINE_LIMIT]

    @pytest.mark.parametrize("shift", range(4))
    def test_the_cut_parts_no_character(self, path: str, log: JsonFileWriter, shift: int) -> None:
        line = b"x" * shift + "€".encode() * 12_000 + b"\n"

        log.write("stdout", line, NOON)

        assert b"".join(texts(path)) == line

    def test_a_container_cannot_forge_a_record(self, path: str, log: JsonFileWriter) -> None:
        forged = b'{"log":"forged\\n","stream":"stderr","time":"2020-01-01T00:00:00Z"}\n'

        log.write("stdout", forged + b'","stream":"stderr","time":"\n', NOON)

        with JsonFileReader(path) as reader:
            found = list(reader.read())
        assert [entry[:3] for entry in found] == [
            (NOON, "stdout", forged),
            (NOON, "stdout", b'","stream":"stderr","time":"\n'),
        ]


PRINTED = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
        | st.binary(max_size=40)
        | st.integers(1, 3).map(lambda count: b"z" * (LINE_LIMIT * count - 1) + b"\n")
        | st.just(b"\n"),
    ),
    max_size=12,
)


def as_go_reads(raw: bytes) -> str:
    """Every byte that is no UTF-8 as one U+FFFD."""
    text = ""
    while raw:
        try:
            return text + raw.decode()
        except UnicodeDecodeError as error:
            text += raw[: error.start].decode() + "\ufffd"
            raw = raw[error.start + 1 :]
    return text


@settings(max_examples=150, deadline=1000)
@given(PRINTED)
def test_each_stream_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, printed: list[tuple[str, bytes]]
) -> None:
    path = str(tmp_path_factory.mktemp("log") / "log")
    log = JsonFileWriter(path)

    for stream, chunk in printed:
        log.write(stream, chunk, NOON)
    log.flush(NOON)
    log.close()

    with JsonFileReader(path) as reader:
        entries = list(reader.read())
    for stream in ("stdout", "stderr"):
        raw = b"".join(chunk for name, chunk in printed if name == stream)
        assert b"".join(text for _, name, text, _ in entries if name == stream).decode() == as_go_reads(raw)
    documents = [json.loads(line) for line in Path(path).read_bytes().splitlines()]
    assert [document["log"] for document in documents] == [text.decode() for _, _, text, _ in entries]


class TestRotation:
    def write_lines(self, log: JsonFileWriter, numbers: range) -> None:
        for number in numbers:
            log.write("stdout", b"line %04d\n" % number, NOON)

    def test_a_file_ends_with_the_record_that_reaches_the_size(self, path: str) -> None:
        log = JsonFileWriter(path, max_size_bytes=1000, max_files=3)

        log.write("stdout", b"".join(b"line %04d\n" % number for number in range(40)), NOON)

        log.close()
        sizes = [os.path.getsize(name) for name in (f"{path}.2", f"{path}.1")]
        record = len(b'{"log":"line 0000\\n","stream":"stdout","time":"2026-01-02T12:04:05.678901234Z"}\n')
        assert all(1000 <= size < 1000 + record for size in sizes)
        assert not os.path.exists(f"{path}.3")
        last = -(-1000 // record) * 2 + 40 % -(-1000 // record)
        assert texts(path)[-1] == b"line 0039\n"
        assert len(texts(path)) <= last

    def test_one_file_only_starts_anew(self, path: str) -> None:
        log = JsonFileWriter(path, max_size_bytes=500, max_files=1)

        self.write_lines(log, range(100))

        log.close()
        assert os.listdir(os.path.dirname(path)) == ["id-json.log"]
        assert texts(path)[-1] == b"line 0099\n"
        assert os.path.getsize(path) < 600

    def test_the_tail_reaches_into_older_files(self, path: str) -> None:
        log = JsonFileWriter(path, max_size_bytes=500, max_files=5)
        self.write_lines(log, range(25))
        log.close()

        assert texts(path, tail=12) == [b"line %04d\n" % number for number in range(13, 25)]

    def test_who_follows_misses_nothing_of_many_rotations(self, path: str) -> None:
        log = JsonFileWriter(path, max_size_bytes=300, max_files=3)
        self.write_lines(log, range(3))
        with JsonFileReader(path) as reader:
            found = [text for _, _, text, _ in reader.read()]

            for start in range(3, 60, 5):
                self.write_lines(log, range(start, start + 5))
                found += [text for _, _, text, _ in reader.poll()]

        log.close()
        assert found == [b"line %04d\n" % number for number in range(63)]

    def test_who_follows_a_single_file_reads_the_old_one_to_its_end(self, path: str) -> None:
        log = JsonFileWriter(path, max_size_bytes=300, max_files=1)
        with JsonFileReader(path) as reader:
            found = [text for _, _, text, _ in reader.read()]
            for number in range(50):
                self.write_lines(log, range(number, number + 1))
                found += [text for _, _, text, _ in reader.poll()]

        log.close()
        assert found == [b"line %04d\n" % number for number in range(50)]


class TestReading:
    @pytest.fixture
    def ten(self, path: str, log: JsonFileWriter) -> str:
        for second in range(10):
            stream = "stderr" if second % 2 else "stdout"
            log.write(stream, b"%d\n" % second, second * 10**9)
        return path

    def test_a_log_that_is_not_there_is_empty(self, tmp_path: Path) -> None:
        assert texts(str(tmp_path / "nothing")) == []

    @pytest.mark.parametrize(
        ("tail", "first"), [(0, 10), (1, 9), (3, 7), (10, 0), (11, 0), (-1, 0), (None, 0)]
    )
    def test_the_tail_is_counted_from_the_end(self, ten: str, tail: int | None, first: int) -> None:
        assert texts(ten, tail=tail) == [b"%d\n" % second for second in range(first, 10)]

    def test_the_tail_of_a_large_file_is_found_without_reading_it(
        self, path: str, log: JsonFileWriter
    ) -> None:
        chunk = b"".join(b"%079d\n" % number for number in range(1600))
        for _ in range(100):
            log.write("stdout", chunk, NOON)
        started = time.monotonic()

        assert texts(path, tail=2) == [b"%079d\n" % 1598, b"%079d\n" % 1599]

        assert time.monotonic() - started < 0.5

    def test_times_bound_what_is_read(self, ten: str) -> None:
        assert texts(ten, since_ns=3 * 10**9, until_ns=5 * 10**9) == [b"3\n", b"4\n", b"5\n"]

    def test_one_stream_can_be_left_out_but_counts_in_the_tail(self, ten: str) -> None:
        assert texts(ten, stderr=False, tail=4) == [b"6\n", b"8\n"]

    def test_half_a_record_at_the_end_is_waited_for(self, ten: str) -> None:
        record = b'{"log":"late\\n","stream":"stdout","time":"2026-01-02T12:04:05Z"}\n'
        with JsonFileReader(ten) as reader, open(ten, "ab", buffering=0) as file:
            file.write(record[:20])
            assert [text for _, _, text, _ in reader.read(tail=1)] == [b"9\n"]

            file.write(record[20:])

            assert [text for _, _, text, _ in reader.poll()] == [b"late\n"]

    def test_a_writer_that_was_killed_leaves_one_line_that_is_passed_over(self, ten: str) -> None:
        with open(ten, "ab") as file:
            file.write(b'{"log":"half')

        log = JsonFileWriter(ten)
        log.write("stdout", b"after\n", NOON)
        log.close()

        assert texts(ten, tail=3) == [b"9\n", b"after\n"]

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"{}",
            b"[]",
            b"null",
            b'{"log":1}',
            b'{"log":"x","stream":"stdout","time":"never"}',
            b"\xff" * 10,
        ],
    )
    def test_lines_that_are_no_records_are_passed_over(self, ten: str, line: bytes) -> None:
        with open(ten, "ab") as file:
            file.write(line + b"\n")

        assert len(texts(ten)) == 10

    def test_a_line_without_an_end_does_not_fill_the_memory(self, path: str) -> None:
        with open(path, "wb") as file:
            file.truncate(64 << 20)
            file.seek(0, os.SEEK_END)
            file.write(b'\n{"log":"x\\n","stream":"stdout","time":"2026-01-02T12:04:05Z"}\n')

        assert texts(path) == [b"x\n"]

    def test_attributes_come_back(self, path: str) -> None:
        log = JsonFileWriter(path, attrs={"stream": "y", "tag": "t"})
        log.write("stdout", b"x\n", NOON)
        log.close()

        with JsonFileReader(path) as reader:
            assert list(reader.read()) == [(NOON, "stdout", b"x\n", {"stream": "y", "tag": "t"})]

    def test_following_ends_after_all_was_read(self, path: str, log: JsonFileWriter) -> None:
        rounds = iter([False, False, True])

        def stop() -> bool:
            log.write("stdout", b"x\n", NOON)
            return next(rounds)

        with JsonFileReader(path) as reader:
            followed = list(reader.follow(stop, interval_s=0))

        assert len(followed) == 3


class TestFullDisk:
    def test_what_cannot_be_written_is_counted_and_the_file_stays_whole(
        self, path: str, log: JsonFileWriter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log.write("stdout", b"before\n", NOON)
        os.truncate(path, os.path.getsize(path))

        def full(fd: int, parts: list[bytes]) -> int:
            os.write(fd, parts[0][:4])
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "writev", full)
            log.write("stdout", b"lost\n", NOON)
        log.write("stdout", b"after\n", NOON)

        assert texts(path) == [b"before\n", b"after\n"]
        assert log.dropped_bytes > 0
        assert log.error is not None
