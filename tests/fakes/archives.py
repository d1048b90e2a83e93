"""Archives made by hand, so that they can be as wrong as an attacker wants them."""

from __future__ import annotations

import io
from collections.abc import Iterable

from wherry.files.tar import Entry, TarReader, TarWriter

ZEROS = bytes(1024)


def header(
    name: bytes = b"file",
    kind: bytes = b"0",
    size: bytes | int = 0,
    *,
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000000\0",
    gid: bytes = b"0000000\0",
    mtime: bytes = b"00000000000\0",
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    device: bytes = b"0000000\0" * 2,
    rest: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """One header block; every field as given, the checksum right unless it is given."""
    number = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(512)
    for at, field, length in (
        (0, name, 100),
        (100, mode, 8),
        (108, uid, 8),
        (116, gid, 8),
        (124, number, 12),
        (136, mtime, 12),
        (148, b" " * 8, 8),
        (156, kind, 1),
        (157, link, 100),
        (257, magic, 8),
        (329, device, 16),
        (345, rest, 167),
    ):
        block[at : at + min(len(field), length)] = field[:length]
    block[148:156] = checksum if checksum is not None else b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    """`data` filled up to a whole block."""
    return data + bytes(-len(data) % 512)


def member(name: bytes, data: bytes = b"", kind: bytes = b"0", **fields: bytes) -> bytes:
    """A header with its data."""
    return header(name, kind, len(data), **fields) + padded(data)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """An extended header, with the records as they are given."""
    body = b""
    for key, value in records:
        length = len(key) + len(value) + 3
        length += len(str(length + len(str(length))))
        body += b"%d %s=%s\n" % (length, key, value)
    return member(b"pax", body, kind)


def entries(archive: bytes) -> list[Entry]:
    """Every entry of an archive."""
    return list(TarReader(io.BytesIO(archive)))


def contents(archive: bytes) -> list[tuple[bytes, bytes]]:
    """Names and data of every entry, holes filled with zeros."""
    reader = TarReader(io.BytesIO(archive))
    found = []
    for entry in reader:
        data = b"".join(bytes(piece) for piece in reader.data())
        if entry.sparse is not None:
            whole = bytearray(entry.size)
            at = 0
            for offset, length in entry.sparse:
                whole[offset : offset + length] = data[at : at + length]
                at += length
            data = bytes(whole)
        found.append((entry.name, data))
    return found


def write(items: Iterable[tuple[Entry, bytes]]) -> bytes:
    """An archive written by our own writer."""
    stream = io.BytesIO()
    writer = TarWriter(stream)
    for entry, data in items:
        entry.size = entry.stored = len(data)
        writer.add(entry, [data])
    writer.close()
    return stream.getvalue()
