"""The assembler of classic BPF: jumps land where they should, however far."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.cbpf import Filter

from wherry.linux import cbpf


def test_a_program_runs_from_what_was_added_last() -> None:
    program = cbpf.Program()
    ten = program.leave(10)
    twenty = program.leave(20)
    program.load(cbpf.SYSCALL_NUMBER, program.jump(cbpf.JUMP_EQUAL, 7, ten, twenty))

    machine = Filter(program.finish())

    assert machine.answer(0, 7) == 10
    assert machine.answer(0, 8) == 20


def test_a_jump_to_where_both_ways_lead_is_left_out() -> None:
    program = cbpf.Program()
    only = program.leave(1)

    assert program.jump(cbpf.JUMP_EQUAL, 7, only, only) == only
    assert len(program) == 1


@pytest.mark.parametrize("distance", [0, 1, 253, 254, 255, 256, 257, 600, 3000])
def test_a_jump_reaches_any_distance(distance: int) -> None:
    program = cbpf.Program()
    far = program.load(
        cbpf.ARCHITECTURE, program.jump(cbpf.JUMP_EQUAL, 5, program.leave(1), program.leave(2))
    )
    label = far
    for _ in range(distance):
        label = program.mask(0xFF, label)
    near = program.leave(3)
    program.load(cbpf.SYSCALL_NUMBER, program.jump(cbpf.JUMP_GREATER, 100, far, near))

    machine = Filter(program.finish())

    assert machine.answer(5, 101) == 1
    assert machine.answer(6, 101) == 2
    assert machine.answer(5, 100) == 3


@given(st.lists(st.integers(0, 1000), unique=True, min_size=1, max_size=400))
def test_a_chain_of_many_comparisons_finds_each_number(numbers: list[int]) -> None:
    program = cbpf.Program()
    label = program.leave(0xFFFF)
    for number in numbers:
        label = program.jump(cbpf.JUMP_EQUAL, number, program.leave(number), label)
    program.load(cbpf.SYSCALL_NUMBER, label)

    machine = Filter(program.finish())

    assert all(machine.answer(0, number) == number for number in numbers)
    assert machine.answer(0, 1001) == 0xFFFF
