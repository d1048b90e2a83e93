"""The tar writer: deterministic, and read back by everybody."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.archives import contents, entries, write

from wherry.files.tar import Entry, TarReader, TarWriter

NAMES = st.binary(min_size=1, max_size=300).filter(
    lambda name: b"\0" not in name and not name.endswith(b"/") and name not in (b".", b"..")
)
ATTRIBUTES = st.dictionaries(
    st.from_regex(r"user\.[a-z]{1,12}", fullmatch=True), st.binary(max_size=200), max_size=3
)


@st.composite
def files(draw: st.DrawFn) -> tuple[Entry, bytes]:
    entry = Entry(draw(NAMES))
    entry.mode = draw(st.integers(0, 0o7777))
    entry.uid, entry.gid = draw(st.integers(0, 0xFFFFFFFE)), draw(st.integers(0, 0xFFFFFFFE))
    entry.mtime_ns = draw(st.integers(-(10**18), 10**19))
    entry.atime_ns = draw(st.none() | st.integers(-(10**18), 10**18))
    entry.uname = draw(st.binary(max_size=40).filter(lambda name: b"\0" not in name))
    entry.xattrs = draw(ATTRIBUTES)
    return entry, draw(st.binary(max_size=1500))


def facts(entry: Entry) -> tuple[object, ...]:
    times = entry.mtime_ns, entry.atime_ns
    owner = entry.uid, entry.gid, entry.uname, entry.gname
    return (
        entry.name,
        entry.kind,
        entry.mode,
        owner,
        entry.size,
        times,
        entry.link,
        entry.device,
        entry.xattrs,
    )


@settings(max_examples=150, deadline=500)
@given(st.lists(files(), max_size=4))
def test_what_is_written_is_read_back(items: list[tuple[Entry, bytes]]) -> None:
    archive = write(items)

    assert [facts(entry) for entry in entries(archive)] == [facts(entry) for entry, _ in items]
    assert [data for _, data in contents(archive)] == [data for _, data in items]


@settings(max_examples=50, deadline=500)
@given(st.lists(files(), max_size=4))
def test_the_same_entries_give_the_same_bytes(items: list[tuple[Entry, bytes]]) -> None:
    archive = write(items)
    stream = io.BytesIO()
    writer = TarWriter(stream)
    reader = TarReader(io.BytesIO(archive))

    for entry in reader:
        writer.add(entry, reader.data())
    writer.close()

    assert stream.getvalue() == archive


def test_a_plain_file_needs_no_extended_header() -> None:
    archive = write([(Entry(b"etc/passwd", mtime_ns=1_700_000_000 * 10**9), b"root\n")])

    assert len(archive) == 512 * 4


@pytest.mark.parametrize(
    "name",
    [b"d/" * 60 + b"file", b"n" * 100, b"n" * 101, b"d" * 155 + b"/" + b"n" * 100, b"x" * 150 + b"/dir/"],
)
def test_long_names_are_read_by_others(name: bytes) -> None:
    kind = b"5" if name.endswith(b"/") else b"0"

    archive = write([(Entry(name, kind), b"")])

    with tarfile.open(fileobj=io.BytesIO(archive)) as reference:
        assert reference.getnames() == [name.decode().rstrip("/")]
    assert entries(archive)[0].name == name


def test_gnu_tar_reads_what_is_written(tmp_path: Path) -> None:
    link = Entry(b"link", b"2", link="ziel-ü/".encode() * 30)
    archive = write(
        [
            (Entry(b"d/", b"5", mode=0o755), b""),
            (Entry("d/ü".encode() * 40, mtime_ns=1_500_000_000), b"data"),
            (link, b""),
            (Entry(b"hard", b"1", link=b"d/f"), b""),
            (Entry(b"dev", b"3", device=(5, 1)), b""),
        ]
    )

    listing = subprocess.run(
        ["tar", "-tvf", "-", "--quoting-style=literal"], input=archive, capture_output=True, check=True
    )

    assert listing.stderr == b""
    assert len(listing.stdout.splitlines()) == 5
    assert b"-> " + link.link in listing.stdout


@pytest.mark.parametrize("data", [b"", b"1234", b"123456"])
def test_data_of_another_length_than_promised_is_refused(data: bytes) -> None:
    writer = TarWriter(io.BytesIO())

    with pytest.raises(ValueError, match="length"):
        writer.add(Entry(b"a", size=5), [data])


def test_a_file_of_more_than_eight_gigabytes_gets_a_size_record() -> None:
    class Counting:
        head = b""

        def write(self, data: bytes | memoryview) -> None:
            self.head = (self.head + bytes(data[:4096]))[:4096]

    size = 9 << 30
    stream = Counting()

    TarWriter(stream).add(Entry(b"a", size=size), (bytes(1 << 26) for _ in range(size >> 26)))

    entry = next(TarReader(io.BytesIO(stream.head)))
    assert entry.size == size
