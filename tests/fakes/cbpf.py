"""A machine for classic BPF as seccomp uses it: what the kernel would answer for one system call."""

import struct
from collections.abc import Sequence

WORD = 0xFFFFFFFF


class Filter:
    """A filter program that can be asked.

    It is as strict as the kernel's checker: an unknown instruction, a jump out of the program or a load
    out of seccomp_data is a failure of the test.
    """

    def __init__(self, program: bytes) -> None:
        assert len(program) % 8 == 0
        self.code = list(struct.iter_unpack("<HBBI", program))
        assert 0 < len(self.code) <= 4096
        self._check()

    def _check(self) -> None:
        end = len(self.code)
        for at, (code, yes, no, value) in enumerate(self.code):
            match code:
                case 0x20:
                    assert value % 4 == 0
                    assert value < 64
                case 0x05:
                    assert at + 1 + value < end
                case 0x15 | 0x25 | 0x35 | 0x45:
                    assert at + 1 + max(yes, no) < end
                case 0x06 | 0x54 | 0x87 | 0x07 | 0x02 | 0x60 | 0x00 | 0x01:
                    pass
                case _:
                    raise AssertionError(f"instruction {at}: unknown code {code:#x}")
        assert self.code[-1][0] == 0x06

    def answer(self, arch: int, number: int, arguments: Sequence[int] = ()) -> int:
        """What the filter returns for this call."""
        words = [*arguments, 0, 0, 0, 0, 0, 0][:6]
        data = struct.pack("<IIQ6Q", number, arch, 0, *words)
        return self.run(data)[0]

    def run(self, data: bytes) -> tuple[int, int]:
        """(answer, number of instructions executed) for one struct seccomp_data."""
        at = accumulator = steps = 0
        words = struct.unpack("<16I", data)
        while True:
            steps += 1
            code, yes, no, value = self.code[at]
            at += 1
            if code == 0x20:
                accumulator = words[value // 4]
            elif code == 0x15:
                at += yes if accumulator == value else no
            elif code == 0x35:
                at += yes if accumulator >= value else no
            elif code == 0x25:
                at += yes if accumulator > value else no
            elif code == 0x06:
                return value, steps
            elif code == 0x54:
                accumulator &= value
            elif code == 0x05:
                at += value
            elif code == 0x45:
                at += yes if accumulator & value else no
            else:
                raise AssertionError(f"instruction {at - 1}: code {code:#x} is not simulated")
