"""A root filesystem of one static busybox: its archive, made in memory as it is sent."""

from __future__ import annotations

import struct
import subprocess

from wherry.cli.failures import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("/bin/busybox", "/usr/bin/busybox", "/usr/lib/initramfs-tools/bin/busybox")
HINT = "Install it with: apt-get install busybox-static"
_BLOCK = 512
_PT_INTERP, _PT_DYNAMIC = 3, 2
_DIRECTORIES = (
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/spool", 0o755),
    ("var/www", 0o755),
)
_FILES = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\n"
        "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
        "bin:x:2:2:bin:/bin:/bin/false\n"
        "www-data:x:33:33:www-data:/var/www:/bin/false\n"
        "nobody:x:65534:65534:nobody:/home:/bin/false\n"
    ),
    "etc/group": (
        "root:x:0:\ndaemon:x:1:\nbin:x:2:\ntty:x:5:\nwww-data:x:33:\nnogroup:x:65534:\nnobody:x:65534:\n"
    ),
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_SYSTEM_DIRECTORIES = ("bin/", "sbin/", "usr/bin/", "usr/sbin/")


def busybox_archive(programs: tuple[str, ...] = PROGRAMS) -> Iterator[bytes]:
    """The archive, checked before its first byte.

    Raises:
        CommandFailed: no static busybox on this machine.
    """
    program = find_static(programs)
    with open(program, "rb") as file:
        binary = file.read()
    return _archive(binary, applets(program))


def find_static(programs: tuple[str, ...]) -> str:
    """The first of `programs` that is there and needs no shared library.

    Raises:
        CommandFailed: none.
    """
    dynamic = ""
    for path in programs:
        try:
            with open(path, "rb") as file:
                if is_static(file.read(65536)):
                    return path
                dynamic = path
        except OSError:
            continue
    if dynamic:
        raise CommandFailed(f"{dynamic} is not statically linked", hint=HINT)
    raise CommandFailed("no busybox on this machine", hint=HINT)


def is_static(head: bytes) -> bool:
    """Whether an ELF file of which `head` is the beginning runs without an interpreter."""
    if head[:4] != b"\x7fELF" or len(head) < 64:
        return False
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    if wide:
        (offset,), (size, count) = (
            struct.unpack_from(order + "Q", head, 32),
            struct.unpack_from(order + "HH", head, 54),
        )
    else:
        (offset,), (size, count) = (
            struct.unpack_from(order + "I", head, 28),
            struct.unpack_from(order + "HH", head, 42),
        )
    for number in range(count):
        place = offset + number * size
        if place + 4 > len(head):
            return False
        if struct.unpack_from(order + "I", head, place)[0] == _PT_INTERP:
            return False
    return True


def applets(program: str) -> list[str]:
    """The paths of its applets, relative to the root; plain names go to bin.

    Raises:
        CommandFailed: the program does not say.
    """
    try:
        done = subprocess.run(
            [program, "--list-full"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CommandFailed(f"{program} --list-full: {error}") from None
    paths = []
    for line in done.stdout.split():
        path = line.strip().lstrip("/")
        if not path or ".." in path.split("/"):
            continue
        name = path.rpartition("/")[2]
        paths.append(path if path.startswith(_SYSTEM_DIRECTORIES) else f"bin/{name}")
    return sorted(set(paths) - {"bin/busybox"})


def _archive(binary: bytes, paths: list[str]) -> Iterator[bytes]:
    directories = dict(_DIRECTORIES) | {"sbin": 0o755}
    for name in sorted(directories):
        yield _header(name + "/", mode=directories[name], kind=b"5")
    yield _header("bin/busybox", mode=0o755, size=len(binary)) + binary + _padding(len(binary))
    for path in paths:
        yield _header(path, mode=0o777, kind=b"1", target="bin/busybox")
    for path, text in _FILES.items():
        data = text.encode()
        yield _header(path, mode=0o644, size=len(data)) + data + _padding(len(data))
    yield bytes(2 * _BLOCK)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _header(name: str, *, mode: int, size: int = 0, kind: bytes = b"0", target: str = "") -> bytes:
    """One ustar header; names here are short and ASCII.

    Hard links are recorded as such: a layer then holds the program once.
    Times are zero, so that the same busybox gives the same layer everywhere.
    """
    fields = (
        (name.encode(), 100),
        (b"%07o\0" % mode, 8),
        (b"%07o\0" % 0, 8),
        (b"%07o\0" % 0, 8),
        (b"%011o\0" % size, 12),
        (b"%011o\0" % 0, 12),
        (b" " * 8, 8),
        (kind, 1),
        (target.encode(), 100),
        (b"ustar\x0000", 8),
        (b"root", 32),
        (b"root", 32),
    )
    block = b"".join(value.ljust(length, b"\0") for value, length in fields).ljust(_BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
