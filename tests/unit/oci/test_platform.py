"""Platforms: names, normal forms and which image fits."""

import pytest

from wherry.errors import InvalidArgument
from wherry.oci.platform import Platform


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("Linux/AArch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("macos/arm64", "darwin/arm64"),
        ("arm64", "linux/arm64"),
    ],
)
def test_a_platform_has_one_form(text: str, expected: str) -> None:
    assert str(Platform.parse(text)) == expected


@pytest.mark.parametrize(
    "text", ["", "/", "a/b/c/d", "linux/", "linux//v7", "lin ux/amd64", "nonsense", "linux/amd64\n"]
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("machine", "candidates", "expected"),
    [
        ("linux/amd64", ["linux/arm64", "linux/386", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/386"], "linux/386"),
        ("linux/amd64", ["linux/amd64/v2"], None),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v2"),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], "linux/arm64"),
        ("linux/arm64", ["linux/arm/v5", "linux/arm/v7"], "linux/arm/v7"),
        ("linux/arm/v6", ["linux/arm/v7"], None),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], "linux/arm/v6"),
        ("linux/amd64", ["windows/amd64", "unknown/unknown"], None),
        ("linux/riscv64", ["linux/riscv64"], "linux/riscv64"),
    ],
)
def test_the_best_that_runs_is_chosen(machine: str, candidates: list[str], expected: str | None) -> None:
    parsed = [Platform.parse(text) for text in candidates]

    chosen = Platform.parse(machine).choose([(platform, platform) for platform in parsed])

    assert (str(chosen) if chosen else None) == expected


def test_a_document_and_back() -> None:
    document = {"architecture": "amd64", "os": "windows", "os.version": "10.0.1", "os.features": ["win32k"]}

    assert Platform.from_dict(document).to_dict() == document
