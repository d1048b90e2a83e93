"""The small machine on x86-64.

Spec: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2; System V ABI, AMD64
supplement, A.2, Linux conventions.
"""

from __future__ import annotations

import struct

from wherry.runtime.reaper import machine

_RAX, _RCX, _RDX, _RBX, _RSP, _RBP, _RSI, _RDI = range(8)
_R8, _R9, _R10, _R11, _R12, _R13, _R14, _R15 = range(8, 16)
_REGISTERS = {
    machine.A0: _RDI, machine.A1: _RSI, machine.A2: _RDX, machine.A3: _R10, machine.A4: _R8, machine.A5: _R9,
    machine.R: _RAX, machine.T: _RCX, machine.U: _R11,
    machine.S0: _RBX, machine.S1: _RBP, machine.S2: _R12, machine.S3: _R13, machine.S4: _R14,
    machine.S5: _R15, machine.SP: _RSP,
}  # fmt: skip
_CONDITIONS = {"==": 0x84, "!=": 0x85, "<": 0x8C, "<=": 0x8E}  # of the two-byte jumps 0F xx
_WIDE = 0x48  # REX.W


class Assembler(machine.Assembler):
    """Encodes for x86-64."""

    SYSTEM_CALLS = {
        "write": 1, "rt_sigprocmask": 14, "ioctl": 16, "getpid": 39, "clone": 56, "execve": 59, "wait4": 61,
        "kill": 62, "setpgid": 109, "rt_sigtimedwait": 128, "exit_group": 231,
    }  # fmt: skip

    def set(self, register: int, value: int) -> None:
        number = _REGISTERS[register]
        self._emit(struct.pack("<BBQ", _WIDE | number >> 3, 0xB8 | number & 7, value & (1 << 64) - 1))

    def copy(self, target: int, source: int) -> None:
        self._direct(0x89, _REGISTERS[source], _REGISTERS[target])

    def add(self, register: int, value: int) -> None:
        self._direct(0x81, 0, _REGISTERS[register])
        self._emit(struct.pack("<i", value))

    def add_register(self, target: int, source: int) -> None:
        self._direct(0x01, _REGISTERS[source], _REGISTERS[target])

    def negate(self, register: int) -> None:
        self._direct(0xF7, 3, _REGISTERS[register])

    def shift_left(self, register: int, bits: int) -> None:
        self._direct(0xC1, 4, _REGISTERS[register])
        self._emit(bytes([bits]))

    def shift_right(self, register: int, bits: int) -> None:
        self._direct(0xC1, 5, _REGISTERS[register])
        self._emit(bytes([bits]))

    def address(self, register: int, label: str) -> None:
        number = _REGISTERS[register]
        prefix = bytes(
            [_WIDE | number >> 3 << 2, 0x8D, (number & 7) << 3 | 5]
        )  # lea number, [rip + distance]
        self._emit_later(label, lambda distance: prefix + struct.pack("<i", distance - 7))

    def load(self, target: int, base: int, offset: int = 0) -> None:
        self._indirect(b"\x8b", target, base, offset)

    def store(self, source: int, base: int, offset: int = 0) -> None:
        self._indirect(b"\x89", source, base, offset)

    def load_byte(self, target: int, base: int, offset: int = 0) -> None:
        self._indirect(b"\x0f\xb6", target, base, offset)

    def store_byte(self, source: int, base: int, offset: int = 0) -> None:
        self._indirect(b"\x88", source, base, offset)

    def go(self, label: str) -> None:
        self._emit_later(label, lambda distance: struct.pack("<Bi", 0xE9, distance - 5))

    def go_if(self, register: int, condition: str, value: int, label: str) -> None:
        self._direct(0x83, 7, _REGISTERS[register])  # cmp register, value
        self._emit(bytes([value]))
        self._jump(_CONDITIONS[condition], label)

    def go_if_same(self, one: int, other: int, label: str) -> None:
        self._direct(0x39, _REGISTERS[other], _REGISTERS[one])
        self._jump(_CONDITIONS["=="], label)

    def system(self, name: str) -> None:
        self.set(machine.R, self.SYSTEM_CALLS[name])
        self._emit(b"\x0f\x05")

    def _jump(self, condition: int, label: str) -> None:
        self._emit_later(label, lambda distance: struct.pack("<BBi", 0x0F, condition, distance - 6))

    def _direct(self, opcode: int, field: int, register: int) -> None:
        """An instruction on a register; `field` is the other register or a part of the opcode."""
        rex = _WIDE | field >> 3 << 2 | register >> 3
        self._emit(bytes([rex, opcode, 0xC0 | (field & 7) << 3 | register & 7]))

    def _indirect(self, opcode: bytes, register: int, base: int, offset: int) -> None:
        """An instruction on a register and on memory at base + offset."""
        field, number = _REGISTERS[register], _REGISTERS[base]
        rex = _WIDE | field >> 3 << 2 | number >> 3
        self._emit(bytes([rex]) + opcode + bytes([0x80 | (field & 7) << 3 | number & 7]))
        if number & 7 == _RSP:
            self._emit(b"\x24")  # this base takes a second byte: no index
        self._emit(struct.pack("<i", offset))
