"""libseccomp as the reference: the same rules, given to it as runc gives them, as a filter program."""

import ctypes
import ctypes.util
import os
from typing import Any

ARCHITECTURES = {
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_ARM": 0x40000028,
}
OPERATORS = {"NE": 1, "LT": 2, "LE": 3, "EQ": 4, "GE": 5, "GT": 6, "MASKED_EQ": 7}
ACTIONS = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_LOG": 0x7FFC0000,
}
UNKNOWN = -1  # __NR_SCMP_ERROR


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    ]


def load() -> ctypes.CDLL | None:
    """The library, or None where it is not installed."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    return library


def knows(library: ctypes.CDLL, name: str) -> bool:
    """Whether this release of the library has heard of the system call."""
    return library.seccomp_syscall_resolve_name(name.encode()) != UNKNOWN


def action(rule_action: str, number: int | None) -> int:
    """The answer that the kernel is to get, by the rules of runc."""
    value = ACTIONS[rule_action]
    if rule_action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        value |= 1 if number is None else number
    return value


def compile_reference(library: ctypes.CDLL, section: dict[str, Any], native: str) -> bytes:
    """The program that runc, with this library, installs for `section` on a machine of `native`."""
    default = action(section["defaultAction"], section.get("defaultErrnoRet"))
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    assert context.value
    try:
        wanted = {ARCHITECTURES[native], *(ARCHITECTURES[each] for each in section.get("architectures", []))}
        for token in sorted(wanted):
            library.seccomp_arch_add(context, ctypes.c_uint32(token))
        if ARCHITECTURES["SCMP_ARCH_X86_64"] not in wanted:
            assert library.seccomp_arch_remove(context, ctypes.c_uint32(0xC000003E)) == 0
        for rule in section.get("syscalls", []):
            _add(library, context, rule, default)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: ctypes.c_void_p, rule: dict[str, Any], default: int) -> None:
    answer = action(rule["action"], rule.get("errnoRet"))
    if answer == default:
        return
    comparisons = [
        Comparison(each["index"], OPERATORS[each["op"][9:]], each["value"], each.get("valueTwo", 0))
        for each in rule.get("args", [])
    ]
    together = len({each.arg for each in comparisons}) == len(comparisons)
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        for group in [comparisons] if together else [[each] for each in comparisons]:
            array = (Comparison * len(group))(*group)
            words = ctypes.c_uint32(answer), ctypes.c_int(number), ctypes.c_uint(len(group)), array
            result = library.seccomp_rule_add_array(context, *words)
            assert result == 0, (name, result)


def _export(library: ctypes.CDLL, context: ctypes.c_void_p) -> bytes:
    fd = os.memfd_create("filter")
    try:
        assert library.seccomp_export_bpf(context, fd) == 0
        return os.pread(fd, 1 << 20, 0)
    finally:
        os.close(fd)
