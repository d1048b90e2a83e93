"""The tar reader: every dialect that layers come in, and one refusal for everything else."""

import io
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.archives import ZEROS, contents, entries, header, member, padded, pax

from wherry.files.tar import Entry, Limits, MalformedArchive, TarReader


def only(archive: bytes) -> Entry:
    (entry,) = entries(archive + ZEROS)
    return entry


class TestHeaders:
    def test_a_posix_header_tells_everything(self) -> None:
        entry = only(
            header(
                b"name",
                b"3",
                mode=b"0004755\0",
                uid=b"0001750\0",
                gid=b"0000012\0",
                mtime=b"14000000000\0",
                device=b"0000010\x000000003\0",
                rest=b"some/prefix",
            )
        )

        assert (entry.name, entry.kind, entry.mode) == (b"some/prefix/name", b"3", 0o4755)
        assert (entry.uid, entry.gid, entry.device) == (1000, 10, (8, 3))
        assert entry.mtime_ns == 0o14000000000 * 10**9

    def test_numbers_in_base_256_are_read_with_their_sign(self) -> None:
        entry = only(
            header(
                uid=b"\x80\0\0\0\0\x20\0\0",
                mtime=b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
            )
        )

        assert entry.uid == 0x200000
        assert entry.mtime_ns == -2 * 10**9

    def test_numbers_may_be_padded_with_blanks(self) -> None:
        assert only(header(mode=b"   644 \0", uid=b"      7 ")).mode == 0o644

    @pytest.mark.parametrize("field", [b"0o00644\0", b"0_00644\0", b"-000644\0", b"0000689\0", b"000x644\0"])
    def test_a_number_that_is_none_is_refused(self, field: bytes) -> None:
        with pytest.raises(MalformedArchive, match="octal"):
            only(header(mode=field))

    @pytest.mark.parametrize(
        "size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"-0000000001\0", b"\x80\0\0\0" + b"\xff" * 8]
    )
    def test_a_size_that_cannot_be_is_refused(self, size: bytes) -> None:
        with pytest.raises(MalformedArchive):
            only(header(size=size))

    def test_a_wrong_checksum_is_refused(self) -> None:
        with pytest.raises(MalformedArchive, match="checksum"):
            only(header(checksum=b"000001\0 "))

    def test_a_checksum_of_signed_bytes_is_accepted_as_old_writers_made_it(self) -> None:
        name = "é".encode()
        block = header(name)
        signed = sum(b - 256 if b > 127 else b for b in block[:148] + b" " * 8 + block[156:])

        assert only(header(name, checksum=b"%06o\0 " % signed)).name == name

    def test_a_directory_of_a_writer_before_posix_is_told_by_its_slash(self) -> None:
        assert only(header(b"old/", b"\0", magic=bytes(8))).kind == b"5"

    def test_the_prefix_of_a_gnu_header_is_no_prefix(self) -> None:
        assert only(header(b"name", magic=b"ustar  \0", rest=b"14000000000\0")).name == b"name"

    @pytest.mark.parametrize("kind", [b"D", b"M", b"V", b"N", b"A", b"8", b"\xff"])
    def test_a_type_that_layers_do_not_hold_is_refused(self, kind: bytes) -> None:
        with pytest.raises(MalformedArchive, match="not supported"):
            only(header(kind=kind))

    @pytest.mark.parametrize("kind", [b"2", b"3", b"4", b"5", b"6"])
    def test_data_of_what_is_no_file_is_refused_because_readers_differ(self, kind: bytes) -> None:
        with pytest.raises(MalformedArchive, match="has data"):
            only(member(b"odd", b"x" * 512, kind, link=b"target"))

    def test_the_size_of_a_hard_link_says_nothing_about_data(self) -> None:
        first, second = entries(header(b"a", b"1", 4096, link=b"b") + member(b"next", b"data") + ZEROS)

        assert (first.size, second.name) == (0, b"next")

    def test_a_file_with_the_name_of_a_directory_is_refused(self) -> None:
        with pytest.raises(MalformedArchive, match="directory"):
            only(header(b"name/"))


class TestExtendedHeaders:
    def test_records_overrule_the_header(self) -> None:
        entry = only(
            pax(
                (b"path", b"a/" * 200 + b"name"),
                (b"uid", b"3000000"),
                (b"mtime", b"1700000000.123456789"),
                (b"atime", b"-1.5"),
                (b"SCHILY.xattr.user.note", b"with = and \0 and \n"),
            )
            + member(b"short", b"")
        )

        assert entry.name == b"a/" * 200 + b"name"
        assert (entry.uid, entry.mtime_ns, entry.atime_ns) == (3000000, 1700000000_123456789, -1_500_000_000)
        assert entry.xattrs == {"user.note": b"with = and \0 and \n"}

    def test_a_size_record_decides_how_much_data_follows(self) -> None:
        archive = pax((b"size", b"5")) + header(size=0) + padded(b"hello") + member(b"b") + ZEROS

        assert contents(archive) == [(b"file", b"hello"), (b"b", b"")]

    def test_unknown_records_are_passed_over(self) -> None:
        assert only(pax((b"comment", b"x"), (b"VENDOR.key", b"y")) + member(b"a")).name == b"a"

    def test_a_global_header_sets_times_of_all_that_follow(self) -> None:
        archive = pax((b"mtime", b"7"), kind=b"g") + member(b"a") + pax((b"mtime", b"9")) + member(b"b")

        assert [entry.mtime_ns for entry in entries(archive + ZEROS)] == [7 * 10**9, 9 * 10**9]

    @pytest.mark.parametrize(
        "key", [b"path", b"linkpath", b"size", b"GNU.sparse.map", b"SCHILY.xattr.user.a"]
    )
    def test_a_global_header_that_would_make_other_files_is_refused(self, key: bytes) -> None:
        with pytest.raises(MalformedArchive, match="global"):
            only(pax((key, b"1"), kind=b"g") + member(b"a"))

    @pytest.mark.parametrize(
        "body",
        [
            b"6 a=b\n6 a=c\n",
            b"5 a=b\n",
            b"7 a=b\n",
            b"06a=b\n",
            b"-6 a=b\n",
            b"4 =\n\n",
            b"6 abc\n",
            b" 6 a=b\n",
            b"99999999999999999999999 a=b\n",
            b"14 path=a\0/b\n",
            b"7 path=\n",
        ],
    )
    def test_a_malformed_record_is_refused(self, body: bytes) -> None:
        with pytest.raises(MalformedArchive):
            only(member(b"pax", body, b"x") + member(b"a"))

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            (b"uid", b"-1"),
            (b"uid", b"4294967295"),
            (b"size", b"1e9"),
            (b"mtime", b"now"),
            (b"mtime", b"9" * 40),
            (b"mtime", b"."),
            (b"SCHILY.xattr.", b"x"),
            (b"SCHILY.xattr.\xff", b"x"),
            (b"path", b"x" * 5000),
        ],
    )
    def test_a_value_that_cannot_be_is_refused(self, key: bytes, value: bytes) -> None:
        with pytest.raises(MalformedArchive):
            only(pax((key, value)) + member(b"a"))

    def test_gnu_long_names_and_links_apply_to_the_next_entry_only(self) -> None:
        archive = (
            member(b"././@LongLink", b"n" * 150 + b"\0", b"L")
            + member(b"././@LongLink", b"l" * 150 + b"\0", b"K")
            + header(b"short", b"2", link=b"short")
            + member(b"next")
            + ZEROS
        )

        first, second = entries(archive)

        assert (first.name, first.link, second.name) == (b"n" * 150, b"l" * 150, b"next")

    @pytest.mark.parametrize(
        "headers",
        [
            pax((b"path", b"a")) + pax((b"path", b"b")),
            member(b"l", b"a\0", b"L") * 2,
            member(b"l", b"a\0", b"L") + pax((b"path", b"b")),
            member(b"l", b"a\0b\0", b"L"),
            member(b"l", b"", b"L"),
        ],
    )
    def test_two_names_for_one_entry_are_refused(self, headers: bytes) -> None:
        with pytest.raises(MalformedArchive):
            only(headers + member(b"file"))

    def test_an_extended_header_without_an_entry_is_refused(self) -> None:
        with pytest.raises(MalformedArchive):
            entries(pax((b"path", b"a")) + ZEROS)


class TestSparse:
    WHOLE = bytes(4096) + b"A" * 512 + bytes(8192) + b"B" * 100

    def test_old_gnu(self) -> None:
        pairs = b"%011o\0%011o\0" % (4096, 512) + b"%011o\0%011o\0" % (12800, 100)
        rest = (bytes(41) + pairs).ljust(41 + 96, b"\0") + b"\0" + b"%011o\0" % len(self.WHOLE)
        archive = header(b"s", b"S", 612, magic=b"ustar  \0", rest=rest) + padded(b"A" * 512 + b"B" * 100)

        assert contents(archive + ZEROS) == [(b"s", self.WHOLE)]

    def test_old_gnu_with_more_pieces_than_a_header_holds(self) -> None:
        pieces = [(at * 1024, 1) for at in range(30)]
        pairs = b"".join(b"%011o\0%011o\0" % piece for piece in pieces)
        rest = bytes(41) + pairs[:96] + b"\1" + b"%011o\0" % (30 * 1024)
        first = (pairs[96 : 96 + 504]).ljust(504, b"\0") + b"\1" + bytes(7)
        second = (pairs[96 + 504 :]).ljust(504, b"\0") + bytes(8)
        archive = header(b"s", b"S", 30, magic=b"ustar  \0", rest=rest) + first + second + padded(b"x" * 30)

        ((_, data),) = contents(archive + ZEROS)

        assert data == (b"x" + bytes(1023)) * 30

    def test_pax_0_0(self) -> None:
        records = [(b"GNU.sparse.size", b"12900"), (b"GNU.sparse.numblocks", b"2")]
        for offset, length in ((4096, 512), (12800, 100)):
            records += [(b"GNU.sparse.offset", b"%d" % offset), (b"GNU.sparse.numbytes", b"%d" % length)]

        archive = pax(*records) + member(b"s", b"A" * 512 + b"B" * 100)

        assert contents(archive + ZEROS) == [(b"s", self.WHOLE)]

    def test_pax_0_1(self) -> None:
        archive = pax(
            (b"GNU.sparse.name", b"real/name"),
            (b"GNU.sparse.size", b"12900"),
            (b"GNU.sparse.map", b"4096,512,12800,100"),
        ) + member(b"GNUSparseFile.1/name", b"A" * 512 + b"B" * 100)

        assert contents(archive + ZEROS) == [(b"real/name", self.WHOLE)]

    @pytest.mark.parametrize(
        ("pieces", "size", "stored"),
        [
            (b"0,10,5,10", 20, 20),  # overlap
            (b"10,5,0,5", 20, 10),  # falling
            (b"0,30", 20, 30),  # beyond the end
            (b"0,10", 20, 5),  # not what is stored
            (b"0", 20, 0),
            (b"-1,1", 20, 1),
            (b"18446744073709551615,1", 20, 1),
            (b"a,b", 20, 0),
        ],
    )
    def test_a_map_that_contradicts_itself_is_refused(self, pieces: bytes, size: int, stored: int) -> None:
        archive = pax((b"GNU.sparse.size", b"%d" % size), (b"GNU.sparse.map", pieces))

        with pytest.raises(MalformedArchive):
            only(archive + member(b"s", b"x" * stored))

    def test_a_map_of_ten_million_pieces_is_refused_at_once(self) -> None:
        records = pax(
            (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"100000000")
        )

        with pytest.raises(MalformedArchive, match="pieces"):
            only(records + member(b"s", b"10000000\n" + b"0\n0\n" * 1000))

    def test_a_map_in_the_data_must_end_within_the_data(self) -> None:
        records = pax(
            (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"100000000")
        )

        with pytest.raises(MalformedArchive):
            only(records + member(b"s", b"100\n" + b"1\n1\n"))

    @pytest.mark.parametrize("version", ["0.0", "0.1", "1.0", "gnu"])
    def test_what_gnu_tar_writes_is_read(self, tmp_path: Path, version: str) -> None:
        with (tmp_path / "holes").open("wb") as file:
            for at in range(0, 40 << 16, 1 << 16):
                file.seek(at)
                file.write(b"%08d" % at)
            file.truncate(50 << 16)
        form = ["--format=gnu"] if version == "gnu" else ["--format=pax", f"--sparse-version={version}"]

        archive = subprocess.run(
            ["tar", "-cS", *form, "-C", tmp_path, "holes"], capture_output=True, check=True
        ).stdout

        assert len(archive) < 1 << 20
        assert contents(archive) == [(b"holes", (tmp_path / "holes").read_bytes())]


class TestEnds:
    def test_an_archive_may_end_without_its_zeros(self) -> None:
        assert contents(member(b"a", b"x")) == [(b"a", b"x")]

    def test_nothing_is_an_empty_archive(self) -> None:
        assert entries(b"") == []

    def test_data_behind_the_end_is_refused_because_readers_differ(self) -> None:
        with pytest.raises(MalformedArchive, match="after its end"):
            entries(ZEROS + member(b"hidden"))

    def test_every_truncation_is_refused_or_ends_between_entries(self) -> None:
        archive = pax((b"mtime", b"1.5")) + member(b"a", b"x" * 700) + member(b"b", b"y" * 10) + ZEROS
        whole = [b"a", b"b"]

        for end in range(0, len(archive), 64):
            try:
                names = [name for name, _ in contents(archive[:end])]
            except MalformedArchive:
                continue
            assert names == whole[: len(names)]

    def test_skipped_data_does_not_shift_what_follows(self) -> None:
        archive = member(b"a", b"x" * 3_000_000) + member(b"b", b"y") + ZEROS

        assert [entry.name for entry in entries(archive)] == [b"a", b"b"]

    def test_the_number_of_entries_is_bounded(self) -> None:
        reader = TarReader(io.BytesIO(member(b"a") * 11 + ZEROS), Limits(entries=10))

        with pytest.raises(MalformedArchive, match="more than 10"):
            list(reader)

    def test_an_extended_header_is_not_read_beyond_its_limit(self) -> None:
        class Endless:
            """A header that promises a gigabyte; nobody may ask for it."""

            def __init__(self) -> None:
                self.blocks = [header(b"pax", b"x", 1 << 30)]

            def read(self, size: int) -> bytes:
                return self.blocks.pop()

        with pytest.raises(MalformedArchive, match="extended header"):
            list(TarReader(Endless()))

    def test_memory_stays_small_whatever_the_size_of_a_file(self) -> None:
        class Zeros:
            """A large file, made as it is read."""

            def __init__(self) -> None:
                self.left = [header(b"large", size=256 << 20), *[bytes(1 << 20)] * 256, ZEROS]

            def read(self, size: int) -> bytes:
                return self.left.pop(0) if self.left else b""

        tracemalloc.start()
        reader = TarReader(Zeros())
        for _ in reader:
            for _piece in reader.data():
                pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < 16 << 20


BLOCKS = st.one_of(
    st.binary(max_size=600),
    st.builds(
        header,
        st.binary(max_size=110),
        st.binary(min_size=1, max_size=1) | st.sampled_from([b"0", b"1", b"5", b"S", b"x", b"g", b"L", b"K"]),
        st.integers(0, 2000) | st.binary(min_size=12, max_size=12),
        mode=st.binary(min_size=8, max_size=8) | st.just(b"0000644\0"),
        link=st.binary(max_size=100),
        magic=st.sampled_from([b"ustar\x0000", b"ustar  \0", bytes(8)]),
        rest=st.binary(max_size=167),
    ),
    st.builds(lambda *records: pax(*records), st.tuples(st.binary(max_size=30), st.binary(max_size=30))),
    st.builds(
        lambda key, value: pax((key, value)),
        st.sampled_from(
            [b"path", b"size", b"GNU.sparse.map", b"GNU.sparse.size", b"GNU.sparse.major", b"mtime", b"uid"]
        ),
        st.binary(max_size=40) | st.integers(0, 3000).map(lambda n: b"%d" % n),
    ),
    st.just(bytes(512)),
)


@settings(max_examples=300, deadline=500)
@given(st.lists(BLOCKS, max_size=8).map(b"".join))
def test_only_the_typed_error_escapes_from_hostile_bytes(archive: bytes) -> None:
    try:
        first = contents(archive)
    except MalformedArchive:
        return

    assert contents(archive) == first


@settings(max_examples=200, deadline=500)
@given(st.lists(BLOCKS, max_size=8).map(b"".join), st.lists(st.integers(1, 700), min_size=1, max_size=8))
def test_the_entries_do_not_depend_on_how_the_bytes_arrive(archive: bytes, lengths: list[int]) -> None:
    class Pieces(io.BytesIO):
        turn = 0

        def read(self, size: int | None = -1) -> bytes:
            self.turn += 1
            return super().read(lengths[self.turn % len(lengths)])

    def names(stream: io.BytesIO) -> list[bytes] | str:
        try:
            return [entry.name for entry in TarReader(stream)]
        except MalformedArchive as error:
            return str(error)

    assert names(Pieces(archive)) == names(io.BytesIO(archive))


@settings(max_examples=150, deadline=500)
@given(st.lists(BLOCKS, max_size=6).map(b"".join))
def test_what_is_accepted_is_what_another_reader_sees(archive: bytes) -> None:
    """Stricter than Python's reader, never different."""
    try:
        ours = [name for name, _ in contents(archive)]
    except MalformedArchive:
        return
    if any(b"\0" in name or not name for name in ours):
        return

    with tarfile.open(fileobj=io.BytesIO(archive + ZEROS), errorlevel=0) as reference:
        theirs = [info.name.encode("utf-8", "surrogateescape") for info in reference]

    assert [name.rstrip(b"/") for name in ours] == [name.rstrip(b"/") for name in theirs]
