"""What a command says of itself, and what the runtime says that it can do."""

from __future__ import annotations

import importlib

import pytest

from wherry.runtime import main as program
from wherry.runtime.commands.features import features
from wherry.runtime.options import parse_options


@pytest.mark.parametrize("verb", program._COMMANDS)
@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_every_command_has_help_with_all_its_flags(
    verb: str, words: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_protect", lambda: "")
    flags = importlib.import_module(f"wherry.runtime.commands.{verb}").FLAGS

    assert program.main([verb, *words]) == 0

    text = capfd.readouterr().out
    assert text.startswith(f"NAME:\n   wherry-runtime {verb} - ")
    assert f"USAGE:\n   wherry-runtime {verb} [command options]" in text
    assert all(f"--{name}" in text for name in [*flags, "help"])


def test_help_names_the_command_it_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main(["help", "state"]) == 0
    assert capfd.readouterr().out.startswith("NAME:\n   wherry-runtime state - show the state")
    assert program.main(["help"]) == 0
    assert "COMMANDS:" in capfd.readouterr().out


def test_the_flags_of_a_program_are_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--root", "/nonexistent", "kill", "nope", "-h"]) == 1
    assert "unknown signal" in capfd.readouterr().err


def test_features_tells_no_more_than_is_done() -> None:
    told = features()
    linux, words = told["linux"], told["mountOptions"]
    assert isinstance(linux, dict)
    assert isinstance(words, list)

    parse_options(words)

    assert "idmap" not in words
    assert linux["mountExtensions"] == {"idmap": {"enabled": False}}
    assert linux["intelRdt"] == {"enabled": False}
