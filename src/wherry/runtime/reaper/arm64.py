"""The small machine on arm64.

Spec: Arm Architecture Reference Manual for A-profile, C6, A64 Base Instruction Descriptions.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from wherry.runtime.reaper import machine

_REGISTERS = {
    machine.A0: 0, machine.A1: 1, machine.A2: 2, machine.A3: 3, machine.A4: 4, machine.A5: 5,
    machine.R: 9, machine.T: 10, machine.U: 11,
    machine.S0: 19, machine.S1: 20, machine.S2: 21, machine.S3: 22, machine.S4: 23, machine.S5: 24,
    machine.SP: 31,
}  # fmt: skip
_ZERO, _NUMBER = 31, 8  # register 31 is zero or the stack, as the instruction has it; x8 names the call
_CONDITIONS = {"==": 0, "!=": 1, "<": 11, "<=": 13}


class Assembler(machine.Assembler):
    """Encodes for arm64."""

    SYSTEM_CALLS = {
        "ioctl": 29, "write": 64, "exit_group": 94, "kill": 129, "rt_sigprocmask": 135,
        "rt_sigtimedwait": 137, "setpgid": 154, "getpid": 172, "clone": 220, "execve": 221, "wait4": 260,
    }  # fmt: skip

    def set(self, register: int, value: int) -> None:
        self._set_number(_REGISTERS[register], value)

    def copy(self, target: int, source: int) -> None:
        # add target, source, #0: unlike orr, it takes the stack pointer.
        self._word(0x91000000 | _REGISTERS[source] << 5 | _REGISTERS[target])

    def add(self, register: int, value: int) -> None:
        number = _REGISTERS[register]
        opcode = 0xD1000000 if value < 0 else 0x91000000
        high, low = divmod(abs(value), 4096)
        if high:
            self._word(opcode | 1 << 22 | high << 10 | number << 5 | number)
        self._word(opcode | low << 10 | number << 5 | number)

    def add_register(self, target: int, source: int) -> None:
        # The extended form, in which register 31 as the first operand is the stack pointer.
        self._word(0x8B206000 | _REGISTERS[target] << 16 | _REGISTERS[source] << 5 | _REGISTERS[target])

    def negate(self, register: int) -> None:
        number = _REGISTERS[register]
        self._word(0xCB000000 | number << 16 | _ZERO << 5 | number)

    def shift_left(self, register: int, bits: int) -> None:
        number = _REGISTERS[register]
        self._word(0xD3400000 | (64 - bits) % 64 << 16 | 63 - bits << 10 | number << 5 | number)

    def shift_right(self, register: int, bits: int) -> None:
        number = _REGISTERS[register]
        self._word(0xD3400000 | bits << 16 | 63 << 10 | number << 5 | number)

    def address(self, register: int, label: str) -> None:
        number = _REGISTERS[register]
        self._word_later(
            label,
            lambda distance: 0x10000000 | (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5 | number,
        )

    def load(self, target: int, base: int, offset: int = 0) -> None:
        self._word(0xF9400000 | offset // 8 << 10 | _REGISTERS[base] << 5 | _REGISTERS[target])

    def store(self, source: int, base: int, offset: int = 0) -> None:
        self._word(0xF9000000 | offset // 8 << 10 | _REGISTERS[base] << 5 | _REGISTERS[source])

    def load_byte(self, target: int, base: int, offset: int = 0) -> None:
        self._word(0x39400000 | offset << 10 | _REGISTERS[base] << 5 | _REGISTERS[target])

    def store_byte(self, source: int, base: int, offset: int = 0) -> None:
        self._word(0x39000000 | offset << 10 | _REGISTERS[base] << 5 | _REGISTERS[source])

    def go(self, label: str) -> None:
        self._word_later(label, lambda distance: 0x14000000 | distance >> 2 & 0x3FFFFFF)

    def go_if(self, register: int, condition: str, value: int, label: str) -> None:
        self._word(0xF100001F | value << 10 | _REGISTERS[register] << 5)  # cmp register, #value
        self._branch(condition, label)

    def go_if_same(self, one: int, other: int, label: str) -> None:
        self._word(0xEB00001F | _REGISTERS[other] << 16 | _REGISTERS[one] << 5)
        self._branch("==", label)

    def system(self, name: str) -> None:
        self._set_number(_NUMBER, self.SYSTEM_CALLS[name])
        self._word(0xD4000001)
        self.copy(machine.R, machine.A0)

    def _branch(self, condition: str, label: str) -> None:
        code = _CONDITIONS[condition]
        self._word_later(label, lambda distance: 0x54000000 | (distance >> 2 & 0x7FFFF) << 5 | code)

    def _set_number(self, number: int, value: int) -> None:
        """movz and movk, sixteen bits at a time."""
        parts = [(value >> shift & 0xFFFF, shift // 16) for shift in (0, 16, 32, 48)]
        self._word(0xD2800000 | parts[0][0] << 5 | number)
        for part, place in parts[1:]:
            if part:
                self._word(0xF2800000 | place << 21 | part << 5 | number)

    def _word(self, word: int) -> None:
        self._emit(struct.pack("<I", word))

    def _word_later(self, label: str, encode: Callable[[int], int]) -> None:
        self._emit_later(label, lambda distance: struct.pack("<I", encode(distance)))
