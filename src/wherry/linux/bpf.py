"""eBPF: the few instructions a device program needs, loading one, and attaching it to a control group.

A program is `bytes`: an array of struct bpf_insn, made by the functions below and joined.

Spec: kernel documentation, BPF Instruction Set; bpf(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from wherry.linux.libc import NR, syscall

# What a device program finds at register 1: struct bpf_cgroup_dev_ctx, three 32-bit words.
DEVICE_ACCESS_TYPE, DEVICE_MAJOR, DEVICE_MINOR = 0, 4, 8
# Its access type is (access << 16) | type.
DEVICE_BLOCK, DEVICE_CHARACTER = 1, 2
DEVICE_MKNOD, DEVICE_READ, DEVICE_WRITE = 1, 2, 4

_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE = 15, 6
_ALLOW_MULTI, _REPLACE = 0x2, 0x4
_LICENSE = b"Apache-2.0\0"  # none of the functions kept for GPL programs is called
_LOG_BYTES = 65536
_LOAD_TRIES = 5

_INSTRUCTION = struct.Struct("<BBhi")


def _instruction(code: int, target: int, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    signed = (value & 0xFFFFFFFF) - ((value & 0x80000000) << 1)
    return _INSTRUCTION.pack(code, source << 4 | target, offset, signed)


def load_word(target: int, source: int, offset: int) -> bytes:
    """target = the 32-bit word at source + offset."""
    return _instruction(0x61, target, source, offset)


def move(target: int, source: int) -> bytes:
    """target = source, 32 bits."""
    return _instruction(0xBC, target, source)


def set_to(target: int, value: int) -> bytes:
    """target = value, 32 bits."""
    return _instruction(0xB4, target, value=value)


def mask(target: int, value: int) -> bytes:
    """target &= value, 32 bits."""
    return _instruction(0x54, target, value=value)


def shift_right(target: int, value: int) -> bytes:
    """target >>= value, 32 bits."""
    return _instruction(0x74, target, value=value)


def skip_unless_equal(target: int, value: int, count: int) -> bytes:
    """Skip `count` instructions unless target equals value, 32 bits."""
    return _instruction(0x56, target, offset=count, value=value)


def skip_if_equal(target: int, value: int, count: int) -> bytes:
    """Skip `count` instructions if target equals value, 32 bits."""
    return _instruction(0x16, target, offset=count, value=value)


def leave(value: int) -> bytes:
    """Return `value`."""
    return set_to(0, value) + _instruction(0x95, 0)


def count(program: bytes) -> int:
    """The number of instructions in `program`."""
    return len(program) // _INSTRUCTION.size


def load_device_program(program: bytes) -> int:
    """Load a program for control groups' devices: a descriptor, the caller's.

    Raises:
        OSError: EPERM without CAP_BPF and CAP_NET_ADMIN; EACCES or EINVAL with the verifier's words.
    """
    instructions = ctypes.create_string_buffer(program, len(program))
    license_text = ctypes.create_string_buffer(_LICENSE)
    head = _TYPE_CGROUP_DEVICE, count(program), ctypes.addressof(instructions), ctypes.addressof(license_text)
    for attempt in range(_LOAD_TRIES):
        try:
            return _bpf(_PROG_LOAD, struct.pack("IIQQIIQII16s", *head, 0, 0, 0, 0, 0, b"device_rules"))
        except OSError as error:
            # The verifier gives up on a signal with EAGAIN.
            if error.errno == errno.EAGAIN and attempt + 1 < _LOAD_TRIES:
                continue
            if error.errno not in (errno.EACCES, errno.EINVAL):
                raise
        log = ctypes.create_string_buffer(_LOG_BYTES)
        words = (*head, 1, _LOG_BYTES, ctypes.addressof(log), 0, 0, b"device_rules")
        try:
            return _bpf(_PROG_LOAD, struct.pack("IIQQIIQII16s", *words))
        except OSError as error:
            reason = log.value.decode("utf-8", "replace").strip().replace("\n", "; ")
            raise OSError(error.errno, f"bpf: {os.strerror(error.errno or 0)}: {reason}") from None
    raise OSError(errno.EAGAIN, "bpf: the verifier is interrupted again and again")


def attach_device(cgroup_fd: int, prog_fd: int, *, replace_fd: int | None = None) -> None:
    """Attach a device program to a control group, in the place of `replace_fd` if given.

    Several may be attached; a device is allowed only when all of them, here and in the groups above,
    allow it.

    Raises:
        OSError: EPERM, also where a group above forbids more programs; ENOENT when `replace_fd` is
            not attached.
    """
    flags = _ALLOW_MULTI | (_REPLACE if replace_fd is not None else 0)
    words = cgroup_fd, prog_fd, _ATTACH_CGROUP_DEVICE, flags, 0 if replace_fd is None else replace_fd
    _bpf(_PROG_ATTACH, struct.pack("IIIII", *words))


def detach_device(cgroup_fd: int, prog_fd: int) -> None:
    """Take a device program off a control group.

    Raises:
        OSError: ENOENT when it is not attached.
    """
    _bpf(_PROG_DETACH, struct.pack("IIIII", cgroup_fd, prog_fd, _ATTACH_CGROUP_DEVICE, 0, 0))


def attached_devices(cgroup_fd: int) -> list[int]:
    """Descriptors of the device programs attached to this very group, the caller's.

    Raises:
        OSError: EPERM.
    """
    ids = (ctypes.c_uint32 * 64)()
    attr = ctypes.create_string_buffer(64)
    words = cgroup_fd, _ATTACH_CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), len(ids)
    struct.pack_into("IIIIQI", attr, 0, *words)
    syscall("bpf", NR["bpf"], _PROG_QUERY, attr, len(attr))
    (found,) = struct.unpack_from("I", attr, 24)
    descriptors = []
    for number in ids[:found]:
        try:
            descriptors.append(_bpf(_PROG_GET_FD_BY_ID, struct.pack("III", number, 0, 0)))
        except FileNotFoundError:
            continue  # detached meanwhile
    return descriptors


def _bpf(command: int, attr: bytes) -> int:
    return syscall("bpf", NR["bpf"], command, attr, len(attr))
