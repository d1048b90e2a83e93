"""Bootstrapping busybox: what is refused, and what is in the archive."""

import io
import struct
import tarfile
from pathlib import Path

import pytest

from wherry.cli.failures import CommandFailed
from wherry.cli.image.bootstrap_busybox import busybox_archive, find_static, is_static
from wherry.cli.image.bootstrap_debian import debian_archive


def elf(*segments: int) -> bytes:
    """The head of a 64-bit little-endian ELF file with program headers of these types."""
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, len(segments))
    return bytes(head) + b"".join(struct.pack("<I", kind).ljust(56, b"\0") for kind in segments)


@pytest.mark.parametrize(
    ("head", "static"),
    [
        (elf(1, 1, 4), True),
        (elf(6, 3, 1), False),
        (elf(1)[:80], True),
        (elf(1, 1, 1)[:100], False),
        (b"#!/bin/sh\n", False),
        (b"", False),
        (b"\x7fELF", False),
    ],
)
def test_a_program_without_an_interpreter_is_static(head: bytes, static: bool) -> None:
    assert is_static(head) is static


def test_a_dynamic_or_missing_busybox_is_refused_with_a_hint(tmp_path: Path) -> None:
    dynamic = tmp_path / "busybox"
    dynamic.write_bytes(elf(3, 1))

    with pytest.raises(CommandFailed, match="is not statically linked") as caught:
        find_static((str(tmp_path / "absent"), str(dynamic)))
    assert caught.value.hint == "Install it with: apt-get install busybox-static"
    with pytest.raises(CommandFailed, match="no busybox on this machine"):
        find_static((str(tmp_path / "absent"),))


def test_the_archive_holds_the_program_once_and_a_link_for_each_applet(tmp_path: Path) -> None:
    program = tmp_path / "busybox"
    program.write_bytes(b"#!/bin/sh\nprintf 'bin/sh\\nusr/bin/env\\nls\\n../evil\\nbusybox\\n'\n")
    program.chmod(0o755)
    from wherry.cli.image import bootstrap_busybox

    archive = b"".join(
        bootstrap_busybox._archive(program.read_bytes(), bootstrap_busybox.applets(str(program)))
    )

    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = {member.name: member for member in tar.getmembers()}
        passwd = tar.extractfile("etc/passwd")
        assert passwd is not None
        assert passwd.read().startswith(b"root:x:0:0:root:/root:/bin/sh\n")
    assert members["bin/busybox"].mode == 0o755
    assert members["bin/sh"].islnk()
    assert {name for name, member in members.items() if member.islnk()} == {"bin/sh", "usr/bin/env", "bin/ls"}
    assert members["tmp"].mode == 0o1777
    assert {member.mtime for member in members.values()} == {0}
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}


def test_the_distributions_own_busybox_is_packed_the_same_way_every_time() -> None:
    try:
        first = b"".join(busybox_archive())
    except CommandFailed as error:
        pytest.skip(f"busybox-static is not installed: {error}")

    assert b"".join(busybox_archive()) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert {"bin/sh", "bin/busybox", "bin/cat"} <= set(tar.getnames())


@pytest.mark.parametrize("suite", ["", "../etc", "--help", "a b", "Bookworm"])
def test_a_suite_that_is_no_name_is_refused(suite: str) -> None:
    with pytest.raises(CommandFailed, match="invalid suite"):
        debian_archive(suite)


def test_without_a_tool_for_debian_there_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(CommandFailed, match="neither mmdebstrap nor debootstrap") as caught:
        debian_archive("bookworm")
    assert caught.value.hint == "Install one with: apt-get install mmdebstrap"
