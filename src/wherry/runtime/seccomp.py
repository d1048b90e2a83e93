"""System call filters: a specification's seccomp section as a program for the kernel.

The program tells the ABI first (a 64-bit kernel serves several), then finds the call in a balanced tree
of number ranges, so that a call passes about eight comparisons, and last tests arguments.  Rules mean
what they mean to runc with libseccomp:

- a rule that does what the default does anyway counts for nothing;
- of a call's rules, the first without conditions decides alone; else the first whose conditions hold;
- conditions of one rule must all hold, unless two are on one argument: then any;
- names that an architecture does not have are passed over, as are rules for foreign architectures;
- a call newer than all the profile names fails with ENOSYS where the default would refuse it, so that
  programs fall back; an ABI that is not in the section is killed.

On 32-bit x86 `socket` and its kin are also reached through `socketcall`, and semaphores through `ipc`.
Their arguments lie in memory there, where no filter can look: a rule that refuses under conditions
refuses that way altogether, and one that allows under conditions does not open it (CVE-2026-31431).

Compiling takes some 10 ms and is done once: `compile_cached` keeps programs by digest.

    <cache>/<sha256 of version, architecture and section>:  sha256 of what follows (32 bytes), program

Spec: OCI runtime-spec, config-linux.md, Seccomp; seccomp_rule_add(3).
"""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument
from wherry.files import json
from wherry.linux import libc, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Section = dict[str, Any]  # linux.seccomp of the runtime specification, decoded

_VERSION = "1"  # of the compiler: a program of another is compiled anew
_DIGEST_BYTES = 32
_MOST_BYTES = _DIGEST_BYTES + seccomp.MAXIMUM_LENGTH * seccomp.INSTRUCTION.size

_INSTALL_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,  # the filter is installed while there is a single thread
    "SECCOMP_FILTER_FLAG_LOG": seccomp.FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": seccomp.FLAG_SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": seccomp.FLAG_WAIT_KILLABLE_RECV,
}


def compile(section: Section, arch: str | None = None) -> bytes:  # noqa: A001
    """The program of `section` for a kernel of machine `arch` (as uname says; default this one).

    Raises:
        InvalidArgument: for an action, operator, architecture or number that is none, and for a
            section without rules whose default allows nothing to run.
    """
    from wherry.runtime.seccomp_compiler import compile_section  # with its tables, only when not cached

    return compile_section(section, arch or libc.MACHINE)


def compile_cached(section: Section, cache_dir: str | None) -> bytes:
    """As `compile` for this machine, from a file of `cache_dir` where it has been compiled before.

    A file that is cut short, changed, or not ours is not used.  A cache that cannot be read or
    written costs time and nothing else.

    Raises:
        InvalidArgument: as `compile`.
    """
    if cache_dir is None:
        return compile(section)
    key = _sha256(f"{_VERSION} {libc.MACHINE} {json.dumps(section)}".encode())
    path = f"{cache_dir}/{key.hex()}"
    program = _read(path)
    if program is None:
        program = compile(section)
        _store(cache_dir, path, program)
    return program


def install_flags(section: Section) -> int:
    """The flags for `linux.seccomp.install`, without the listener's.

    A section that says nothing gets SPEC_ALLOW, as runc gives it: otherwise some processors slow the
    whole container down for fear of speculation.

    Raises:
        InvalidArgument: unknown flag.
    """
    names = section.get("flags")
    if names is None:
        return seccomp.FLAG_SPEC_ALLOW
    flags = 0
    for name in names:
        if name not in _INSTALL_FLAGS:
            raise InvalidArgument(f"unknown seccomp flag {name!r}")
        flags |= _INSTALL_FLAGS[name]
    return flags


def wants_listener(section: Section) -> bool:
    """Whether a rule notifies, so that the program needs FLAG_NEW_LISTENER and somebody who listens."""
    return any(rule.get("action") == "SCMP_ACT_NOTIFY" for rule in section.get("syscalls") or [])


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        # Whoever may write the file may choose the filter: only we and root, whatever it contains.
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o177022 != 0o100000:
            return None
        content = os.read(fd, _MOST_BYTES + 1)
    except OSError:
        return None
    finally:
        os.close(fd)
    program = content[_DIGEST_BYTES:]
    intact = program and content[:_DIGEST_BYTES] == _sha256(program)
    return program if intact and len(content) <= _MOST_BYTES else None


def _store(cache_dir: str, path: str, program: bytes) -> None:
    # Not synced to the disk: after a power cut the digest tells.
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(cache_dir, 0o700, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, _sha256(program) + program)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass


def _sha256(data: bytes) -> bytes:
    # The C module alone: `hashlib` would load OpenSSL on the start path.
    try:
        from _sha2 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from _sha256 import sha256  # type: ignore[import-not-found]  # before Python 3.12
    digest: bytes = sha256(data).digest()
    return digest
