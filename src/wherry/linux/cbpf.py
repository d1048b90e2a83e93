"""An assembler for classic BPF, the language of seccomp filters.

Jumps go forward only, so a program is built from its end: a label is what an instruction returned when
it was added, and later additions, which stand before it, may jump to it.  A conditional jump reaches
255 instructions; beyond that a stepping stone is put in, unseen by the caller.

Spec: kernel documentation, Linux Socket Filtering, BPF engine; seccomp(2).
"""

from __future__ import annotations

from wherry.linux.seccomp import INSTRUCTION

# Offsets in struct seccomp_data, little-endian.
SYSCALL_NUMBER = 0
ARCHITECTURE = 4

JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_OR_EQUAL = 0x15, 0x25, 0x35
_LOAD, _AND, _JUMP, _RETURN = 0x20, 0x54, 0x05, 0x06
_REACH = 255


def argument_word(index: int, *, high: bool) -> int:
    """The offset in seccomp_data of one half of a system call's argument."""
    return 16 + 8 * index + (4 if high else 0)


class Program:
    """A program under construction, last instruction first."""

    __slots__ = ("_code", "_returns")

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []
        self._returns: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._code)

    def leave(self, value: int) -> int:
        """Return `value`; an instruction near enough that does so already is used again."""
        label = self._returns.get(value)
        if label is None or not self._reaches(label, 2):
            label = self._returns[value] = self._add(_RETURN, value)
        return label

    def load(self, offset: int, then: int) -> int:
        """Load the word at `offset` of seccomp_data and go on at `then`."""
        self._fall_through(then)
        return self._add(_LOAD, offset)

    def mask(self, value: int, then: int) -> int:
        """Keep the bits of `value` in what is loaded and go on at `then`."""
        self._fall_through(then)
        return self._add(_AND, value)

    def jump(self, code: int, value: int, yes: int, no: int) -> int:
        """Compare what is loaded with `value` and go on at `yes` or at `no`."""
        if yes == no:
            return yes
        yes = self._near(yes)
        no = self._near(no)
        yes = self._near(yes)  # the stone for `no` may have pushed it out of reach
        here = len(self._code)
        return self._add(code, value, here - yes - 1, here - no - 1)

    def finish(self) -> bytes:
        """The program; it begins with what was added last."""
        pack = INSTRUCTION.pack
        return b"".join([pack(*instruction) for instruction in reversed(self._code)])

    def _add(self, code: int, value: int, yes: int = 0, no: int = 0) -> int:
        self._code.append((code, yes, no, value & 0xFFFFFFFF))
        return len(self._code) - 1

    def _reaches(self, label: int, stones: int) -> bool:
        return len(self._code) + stones - label - 1 <= _REACH

    def _near(self, label: int) -> int:
        """A label for the same place that the next instruction but one can jump to."""
        if self._reaches(label, 1):
            return label
        code, _, _, value = self._code[label]
        if code == _RETURN:  # as short as a jump there
            return self.leave(value)
        return self._add(_JUMP, len(self._code) - label - 1)

    def _fall_through(self, label: int) -> None:
        if label != len(self._code) - 1:
            self._add(_JUMP, len(self._code) - label - 1)
