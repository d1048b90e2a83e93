"""A machine for the few eBPF instructions that a device program is made of."""

import struct

MASK = 0xFFFFFFFF


def run(program: bytes, context: bytes) -> int:
    """What the program returns for the context at register 1."""
    registers = [0] * 11
    code = list(struct.iter_unpack("<BBhi", program))
    at = 0
    while True:
        operation, operands, offset, value = code[at]
        target, source = operands & 0xF, operands >> 4
        at += 1
        match operation:
            case 0x61:
                assert source == 1
                (registers[target],) = struct.unpack_from("<I", context, offset)
            case 0xBC:
                registers[target] = registers[source]
            case 0xB4:
                registers[target] = value & MASK
            case 0x54:
                registers[target] &= value & MASK
            case 0x74:
                registers[target] >>= value
            case 0x56:
                at += offset if registers[target] != value & MASK else 0
            case 0x16:
                at += offset if registers[target] == value & MASK else 0
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(f"instruction {at - 1}: unknown code {operation:#x}")
