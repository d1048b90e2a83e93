"""The conversation of parent and child."""

import errno
import os
import threading
from pathlib import Path

import pytest

from wherry.runtime import sync
from wherry.runtime.failures import StartFailed


def test_a_failure_travels_with_kind_text_and_exit_code() -> None:
    sent = StartFailed('exec: "x": permission denied', exit_code=126, hint="look")

    got = sync.decode_failure(sync.encode_failure(sent))

    assert (str(got), got.exit_code, got.hint) == ('exec: "x": permission denied', 126, "look")


def test_an_error_of_the_kernel_names_the_call() -> None:
    error = OSError(errno.EPERM, "move_mount: Operation not permitted", "/x")

    assert str(sync.decode_failure(sync.encode_failure(error))) == "move_mount: operation not permitted: /x"


def test_a_huge_text_is_cut_to_fit_a_message() -> None:
    ours, theirs = sync.pair()

    theirs.report(StartFailed("é" * 1_000_000))
    tag, payload, _ = ours.receive()

    assert tag == sync.ERROR
    assert str(sync.decode_failure(payload)).startswith("éé")
    ours.close()
    theirs.close()


def test_descriptors_travel_with_a_message() -> None:
    ours, theirs = sync.pair()
    read, write = os.pipe()

    theirs.send(sync.CONSOLE, fd=write)
    _, _, copy = ours.receive()
    os.write(copy, b"through")

    assert os.read(read, 10) == b"through"
    assert not os.get_inheritable(copy)
    for fd in (read, write, copy):
        os.close(fd)
    ours.close()
    theirs.close()


def test_a_closed_channel_before_execve_is_success_and_an_error_is_raised() -> None:
    for last, expected in ((None, None), (StartFailed("no", exit_code=127), "no")):
        ours, theirs = sync.pair()
        if last:
            theirs.report(last)
            with pytest.raises(StartFailed, match=expected):
                sync.await_execve(ours)
        else:
            child = threading.Thread(target=lambda end=theirs: (end.expect(sync.START), end.close()))
            child.start()
            sync.await_execve(ours)
            child.join()
        ours.close()
        theirs.close()


def test_a_start_with_nobody_at_the_gate_fails() -> None:
    ours, theirs = sync.pair()
    theirs.close()

    with pytest.raises(StartFailed, match="is gone"):
        sync.await_execve(ours)
    ours.close()


def test_who_only_looks_at_the_gate_does_not_open_it(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_PATH)
    listener = sync.listen_at_gate(directory, "gate")
    ours, theirs = sync.pair()
    passed: list[str] = []

    def child() -> None:
        gate = sync.Gate(theirs, listener)
        gate.announce()
        channel = gate.wait()
        passed.append("start")
        channel.close()

    thread = threading.Thread(target=child)
    thread.start()
    assert ours.receive()[0] == sync.READY
    for _ in range(3):
        looking = sync.knock(directory, "gate")
        assert looking is not None
        looking.close()
    assert passed == []
    starting = sync.knock(directory, "gate")
    assert starting is not None
    sync.await_execve(starting)
    thread.join()

    assert passed == ["start"]
    assert sync.knock(directory, "gate") is None
    starting.close()
    ours.close()
    os.close(directory)
