"""A minimal Debian (or Ubuntu) from this machine's own package sources.

mmdebstrap writes the archive to its standard output as it goes; debootstrap fills a directory,
which is packed and removed afterwards.  Both run as they are: where the packages come from and how
they are verified is the distribution's configuration, not ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

from wherry.cli.failures import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HINT = "Install one with: apt-get install mmdebstrap"
PACKAGES = "ca-certificates"
_PIECE_BYTES = 1024 * 1024
_SUITE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
# What dpkg need not install into an image, and what apt leaves behind.
_DPKG_OPTIONS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)


def default_suite() -> str:
    """The suite of this machine.

    Raises:
        CommandFailed: /etc/os-release names none.
    """
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            fields = dict(line.strip().partition("=")[::2] for line in file)
    except OSError:
        fields = {}
    suite = fields.get("VERSION_CODENAME", "").strip('"')
    if not suite:
        raise CommandFailed(
            "this machine names no suite", hint="Name one: wherry image bootstrap debian:SUITE"
        )
    return suite


def debian_archive(suite: str, *, mirror: str = "") -> Iterator[bytes]:
    """The archive of a minimal `suite`.

    Raises:
        CommandFailed: no tool for it, or it fails.
    """
    if not suite or not _SUITE_CHARACTERS.issuperset(suite) or suite.startswith("-"):
        raise CommandFailed(f"invalid suite: {suite}")
    mirrors = [mirror] if mirror else []
    if shutil.which("mmdebstrap"):
        return _mmdebstrap(suite, mirrors)
    if shutil.which("debootstrap"):
        return _debootstrap(suite, mirrors)
    raise CommandFailed("neither mmdebstrap nor debootstrap is installed", hint=HINT)


def _mmdebstrap(suite: str, mirrors: list[str]) -> Iterator[bytes]:
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar"]
    command += [f"--dpkgopt={option}" for option in _DPKG_OPTIONS]
    command += [f"--include={PACKAGES}", suite, "-", *(mirrors or _own_sources(suite))]
    return _output_of(command)


def _own_sources(suite: str) -> list[str]:
    """This machine's source files, where they are for `suite`; else mmdebstrap's default mirror."""
    candidates = ["/etc/apt/sources.list"]
    directory = "/etc/apt/sources.list.d"
    if os.path.isdir(directory):
        candidates += sorted(os.path.join(directory, name) for name in os.listdir(directory))
    found = []
    for path in candidates:
        try:
            with open(path, encoding="utf-8") as file:
                words = file.read().split()
        except (OSError, UnicodeDecodeError):
            continue
        if path.endswith((".list", ".sources")) and suite in words:
            found.append(path)
    return found


def _output_of(command: list[str]) -> Iterator[bytes]:
    """The standard output of `command` in pieces.

    Raises:
        CommandFailed: at its end, when it fails: an archive that is cut short is never finished.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        try:
            while piece := process.stdout.read(_PIECE_BYTES):
                yield piece
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            code = process.wait()
        if code:
            errors.seek(0)
            text = errors.read().decode("utf-8", "replace").strip()
            raise CommandFailed(f"{command[0]} failed with exit code {code}:\n{text[-2000:]}")


def _debootstrap(suite: str, mirrors: list[str]) -> Iterator[bytes]:
    directory = tempfile.mkdtemp(prefix="wherry-bootstrap-")
    try:
        root = os.path.join(directory, "root")
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, root, *mirrors]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            text = (done.stdout + done.stderr).strip()
            raise CommandFailed(f"debootstrap failed with exit code {done.returncode}:\n{text[-2000:]}")
        yield from _output_of(["tar", "--numeric-owner", "--xattrs", "-C", root, "-cf", "-", "."])
    finally:
        shutil.rmtree(directory, ignore_errors=True)
