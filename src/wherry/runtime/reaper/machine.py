"""The small machine in whose instructions the program is written.

It has sixteen registers, of which each processor has a counterpart:

    A0-A5   the arguments of a system call; it leaves only A1-A5 as they are
    R       the result of the last system call
    T, U    for the moment: a system call may change them
    S0-S5   kept
    SP      the stack

A subclass encodes each instruction; labels are resolved at the end.
"""

from __future__ import annotations

from collections.abc import Callable

A0, A1, A2, A3, A4, A5, R, T, U, S0, S1, S2, S3, S4, S5, SP = range(16)


class Assembler:
    """Gathers encoded instructions and data."""

    SYSTEM_CALLS: dict[str, int] = {}

    def __init__(self) -> None:
        self._code = bytearray()
        self._labels: dict[str, int] = {}
        self._fixes: list[tuple[int, str, Callable[[int], bytes]]] = []

    def finish(self) -> bytes:
        """The bytes of the program.

        Raises:
            KeyError: a label that stands nowhere.
        """
        for place, label, encode in self._fixes:
            word = encode(self._labels[label] - place)
            self._code[place : place + len(word)] = word
        return bytes(self._code)

    def label(self, name: str) -> None:
        """Name the next instruction, or the next bytes."""
        if name in self._labels:
            raise ValueError(f"label {name!r} stands twice")
        self._labels[name] = len(self._code)

    def text(self, name: str, content: bytes) -> None:
        """Bytes with a label; a NUL follows them, and they end on a boundary of 4."""
        self.label(name)
        self._code += content + b"\0"
        self._code += bytes(-len(self._code) % 4)

    def _emit(self, code: bytes) -> None:
        self._code += code

    def _emit_later(self, label: str, encode: Callable[[int], bytes]) -> None:
        """An instruction that needs the distance from its own start to `label`."""
        self._fixes.append((len(self._code), label, encode))
        self._code += bytes(len(encode(0)))

    # What a processor encodes.

    def set(self, register: int, value: int) -> None:
        """register = value, any of 64 bits."""
        raise NotImplementedError

    def copy(self, target: int, source: int) -> None:
        """target = source."""
        raise NotImplementedError

    def add(self, register: int, value: int) -> None:
        """register += value, within 4095 of 0 for any register but SP, by multiples of 16 for that."""
        raise NotImplementedError

    def add_register(self, target: int, source: int) -> None:
        """target += source."""
        raise NotImplementedError

    def negate(self, register: int) -> None:
        """register = -register."""
        raise NotImplementedError

    def shift_left(self, register: int, bits: int) -> None:
        """register <<= bits."""
        raise NotImplementedError

    def shift_right(self, register: int, bits: int) -> None:
        """register >>= bits, zeros coming in."""
        raise NotImplementedError

    def keep_low(self, register: int, bits: int) -> None:
        """Clear all but the lowest `bits`."""
        self.shift_left(register, 64 - bits)
        self.shift_right(register, 64 - bits)

    def address(self, register: int, label: str) -> None:
        """register = the address of label."""
        raise NotImplementedError

    def load(self, target: int, base: int, offset: int = 0) -> None:
        """target = the 8 bytes at base + offset."""
        raise NotImplementedError

    def store(self, source: int, base: int, offset: int = 0) -> None:
        """The 8 bytes at base + offset = source."""
        raise NotImplementedError

    def load_byte(self, target: int, base: int, offset: int = 0) -> None:
        """target = the byte at base + offset."""
        raise NotImplementedError

    def store_byte(self, source: int, base: int, offset: int = 0) -> None:
        """The byte at base + offset = the lowest of source."""
        raise NotImplementedError

    def go(self, label: str) -> None:
        """Go on at label."""
        raise NotImplementedError

    def go_if(self, register: int, condition: str, value: int, label: str) -> None:
        """Go on at label if register `==`, `!=`, `<` or `<=` value (0 to 127), both signed."""
        raise NotImplementedError

    def go_if_same(self, one: int, other: int, label: str) -> None:
        """Go on at label if both registers hold the same."""
        raise NotImplementedError

    def system(self, name: str) -> None:
        """Make a system call; R is what it returns."""
        raise NotImplementedError
