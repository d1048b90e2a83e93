"""Processes: what needs no rights."""

import errno
import fcntl
import os
import signal
import time

import pytest

from wherry.linux import capabilities, process


def child(status: int = 0, *, killed_by: int = 0) -> int:
    """A child that ends at once: its pidfd."""
    pid = os.fork()
    if pid == 0:
        if killed_by:
            os.kill(os.getpid(), killed_by)
        os._exit(status)
    return os.pidfd_open(pid)


def test_a_sealed_document_cannot_be_changed() -> None:
    fd = process.memfd("document", b"hello")

    assert os.read(fd, 100) == b"hello"
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    os.close(fd)


def test_an_unsealed_document_can() -> None:
    fd = process.memfd("document", b"hello", seal=False)

    assert os.pwrite(fd, b"x", 0) == 1
    os.close(fd)


@pytest.mark.parametrize("status", [0, 1, 255])
def test_waiting_gives_the_status_word_of_waitpid(status: int) -> None:
    pidfd = child(status)

    waited = process.wait_pidfd(pidfd)

    assert waited is not None
    assert os.waitstatus_to_exitcode(waited[1]) == status
    os.close(pidfd)


def test_a_signal_shows_in_the_status() -> None:
    pidfd = child(killed_by=signal.SIGKILL)

    waited = process.wait_pidfd(pidfd)

    assert waited is not None
    assert os.waitstatus_to_exitcode(waited[1]) == -signal.SIGKILL
    os.close(pidfd)


def test_waiting_without_patience_gives_none_while_it_runs() -> None:
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    pidfd = process.pidfd_open(pid)

    assert process.wait_pidfd(pidfd, os.WNOHANG) is None

    process.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert process.wait_pidfd(pidfd) == (pid, signal.SIGKILL)
    with pytest.raises(ProcessLookupError):
        process.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)


def test_a_zombie_is_dead() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    started = process.process_start_time(pid)

    assert not process.is_alive(pid, started)

    os.waitpid(pid, 0)
    assert not process.is_alive(pid, started)


def test_another_process_of_the_same_number_is_not_alive() -> None:
    started = process.process_start_time(os.getpid())

    assert process.is_alive(os.getpid(), started)
    assert not process.is_alive(os.getpid(), started - 1)


def test_an_unknown_prctl_keeps_its_errno() -> None:
    with pytest.raises(OSError, match="prctl") as failure:
        process.prctl(0x7FFF)

    assert failure.value.errno == errno.EINVAL


def test_capability_names_have_the_kernels_numbers() -> None:
    assert capabilities.number("CAP_CHOWN") == 0
    assert capabilities.number("CAP_SYS_ADMIN") == 21
    assert capabilities.number("CAP_CHECKPOINT_RESTORE") == 40


@pytest.mark.parametrize("name", ["", "chown", "CAP_CHOWN ", "CAP_ALL"])
def test_what_is_no_capability_is_refused(name: str) -> None:
    with pytest.raises(OSError, match="unknown capability"):
        capabilities.number(name)


def test_the_last_capability_is_the_kernels() -> None:
    with open("/proc/sys/kernel/cap_last_cap") as file:
        assert capabilities.last_cap() == int(file.read())


def test_the_sets_are_those_of_proc() -> None:
    with open("/proc/self/status") as file:
        status = dict(line.split(":\t", 1) for line in file if line.startswith("Cap"))

    sets = capabilities.current()

    for kind, key in (
        ("effective", "CapEff"),
        ("permitted", "CapPrm"),
        ("bounding", "CapBnd"),
        ("ambient", "CapAmb"),
    ):
        mask = int(status[key], 16)
        assert sets[kind] == {name for bit, name in enumerate(capabilities.NAMES) if mask >> bit & 1}
