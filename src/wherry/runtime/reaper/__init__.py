"""The init of containers started with `--init`: a static program of two kilobytes.

    /sbin/docker-init -- COMMAND ARGUMENT...

It starts COMMAND as its child, sends it every signal that it gets itself, reaps whatever becomes its child
by the death of another parent, and ends with COMMAND's exit code, or 128 + n if signal n ended it.  A
command that is not found ends it with 127, one that cannot be executed with 126.

A container may have no libc and no shell, so the program needs neither: `program` is its listing, in the
instructions of a small machine, and `x86_64` and `arm64` turn these into words of the processor.
"""

from __future__ import annotations

from wherry.errors import Unsupported
from wherry.runtime.reaper import arm64, x86_64
from wherry.runtime.reaper.elf import executable
from wherry.runtime.reaper.program import write_program

_MACHINES = {
    "x86_64": (x86_64.Assembler, 62),
    "amd64": (x86_64.Assembler, 62),
    "aarch64": (arm64.Assembler, 183),
    "arm64": (arm64.Assembler, 183),
}


def build(arch: str) -> bytes:
    """The program as an ELF file for `arch`, in the kernel's or in Go's word for it.

    Raises:
        Unsupported: an architecture we have no assembler for.
    """
    if arch not in _MACHINES:
        raise Unsupported(f"no init program for architecture {arch!r}")
    assembler, machine = _MACHINES[arch]
    target = assembler()
    write_program(target)
    return executable(target.finish(), machine)
