"""Finding a program as Go's exec.LookPath does."""

from pathlib import Path

import pytest

from wherry.runtime.command import find_command
from wherry.runtime.failures import StartFailed


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name, mode in (("a/plain", 0o644), ("b/plain", 0o755), ("b/tool", 0o755)):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(mode)
    return tmp_path


def path_of(place: Path) -> dict[bytes, bytes]:
    return {b"PATH": f"{place}/absent:{place}/a:{place}/b".encode()}


def test_what_is_not_executable_is_passed_over_in_path(place: Path) -> None:
    assert find_command(b"plain", path_of(place)) == f"{place}/b/plain".encode()


@pytest.mark.parametrize("environment", [{}, {b"PATH": b""}, {b"PATH": b"/absent"}])
def test_without_a_match_in_path_it_is_not_found(environment: dict[bytes, bytes]) -> None:
    with pytest.raises(StartFailed) as failure:
        find_command(b"tool", environment)

    assert str(failure.value) == 'exec: "tool": executable file not found in $PATH'
    assert failure.value.exit_code == 127


@pytest.mark.parametrize(
    ("name", "cause", "code"),
    [
        ("absent", "stat {}: no such file or directory", 127),
        ("a/plain/below", "stat {}: not a directory", 127),
        ("a/plain", "permission denied", 126),
        ("a", "is a directory: permission denied", 126),
    ],
)
def test_a_path_says_why_it_cannot_be_executed(place: Path, name: str, cause: str, code: int) -> None:
    path = str(place / name)

    with pytest.raises(StartFailed) as failure:
        find_command(path.encode(), {})

    assert str(failure.value) == f'exec: "{path}": {cause.format(path)}'
    assert failure.value.exit_code == code


def test_a_name_is_quoted_as_go_quotes() -> None:
    with pytest.raises(StartFailed, match=r'exec: "a\\"b\\n\\\\\\x1b": executable'):
        find_command(b'a"b\n\\\x1b', {})


def test_a_program_of_the_working_directory_is_not_found_by_chance(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place / "b")

    with pytest.raises(StartFailed, match="relative to current directory"):
        find_command(b"tool", {b"PATH": b":/bin"})
