"""Platforms: operating system, architecture and variant, and which image fits a machine.

Names are kept normalised (x86_64 is amd64, aarch64 is arm64), so equal platforms are equal
values.  arm64 has the variant v8 when none is named, arm v7; they are shown only where they
differ from that default, as containerd does.

Spec: image-spec, image-index.md, Platform; containerd platforms.
"""

from __future__ import annotations

import os as _os

from wherry.errors import InvalidArgument
from wherry.oci.documents import InvalidDocument, kind_of, list_field, text_field
from wherry.oci.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeVar

    _T = TypeVar("_T")

_SYSTEMS = frozenset((
    "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl",
    "netbsd", "openbsd", "plan9", "solaris", "wasip1", "windows", "zos",
))  # fmt: skip
_SYSTEM_ALIASES = {"macos": "darwin"}
_ARCHITECTURES = frozenset((
    "386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "loong64", "mips", "mipsle",
    "mips64", "mips64le", "mips64p32", "mips64p32le", "ppc", "ppc64", "ppc64le", "riscv", "riscv64",
    "s390", "s390x", "sparc", "sparc64", "wasm",
))  # fmt: skip
_ARCHITECTURE_ALIASES = {
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv6l": ("arm", "v6"),
}
_DEFAULT_VARIANT = {"arm": "v7", "arm64": "v8", "amd64": "v1"}
_PART = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Platform(Value):
    """Where an image runs; `os.version` and features only narrow a choice on other systems."""

    __slots__ = ("architecture", "os", "os_features", "os_version", "variant")

    os: str
    architecture: str
    variant: str
    os_version: str
    os_features: tuple[str, ...]

    def __init__(
        self,
        os: str,
        architecture: str,
        variant: str = "",
        *,
        os_version: str = "",
        os_features: tuple[str, ...] = (),
    ) -> None:
        os = _SYSTEM_ALIASES.get(os.lower(), os.lower())
        architecture, variant = _normalise(architecture.lower(), variant.lower())
        self._set(
            os=os, architecture=architecture, variant=variant, os_version=os_version, os_features=os_features
        )

    @classmethod
    def host(cls) -> Platform:
        """The platform of this machine."""
        return cls("linux", _os.uname().machine)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """The platform that `os`, `architecture`, `os/architecture` or `os/architecture/variant` names.

        What is left out is this machine's.

        Raises:
            InvalidArgument: another form, or a single word that names nothing known.
        """
        parts = text.split("/")
        if len(parts) > 3 or not all(part and _PART.issuperset(part) for part in parts):
            raise InvalidArgument(
                f'"{text}" is an invalid platform: expected os[/architecture[/variant]], '
                "each of letters, digits, '_', '.' and '-'"
            )
        if len(parts) > 1:
            return cls(*parts)
        word = text.lower()
        host = cls.host()
        if word in _SYSTEMS or word in _SYSTEM_ALIASES:
            return cls(word, host.architecture, host.variant)
        if word in _ARCHITECTURES or word in _ARCHITECTURE_ALIASES:
            return cls(host.os, word)
        raise InvalidArgument(f'"{text}": unknown operating system or architecture')

    @classmethod
    def from_dict(cls, document: object, what: str = "platform") -> Platform:
        """The platform of a descriptor or of an Engine API parameter.

        Raises:
            InvalidDocument: a field of a wrong type.
        """
        if not isinstance(document, dict):
            raise InvalidDocument(f"invalid {what}: expected an object, found {kind_of(document)}")
        features = list_field(document, "os.features", what, limit=64)
        if not all(isinstance(feature, str) for feature in features):
            raise InvalidDocument(f"invalid {what}: os.features: expected strings")
        return cls(
            text_field(document, "os", what, default=""),
            text_field(document, "architecture", what, default=""),
            text_field(document, "variant", what, default=""),
            os_version=text_field(document, "os.version", what, default=""),
            os_features=tuple(features),
        )

    def to_dict(self) -> dict[str, Any]:
        """The platform as a descriptor carries it."""
        document: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            document["os.version"] = self.os_version
        if self.os_features:
            document["os.features"] = list(self.os_features)
        if self.variant:
            document["variant"] = self.variant
        return document

    @property
    def is_unknown(self) -> bool:
        """Whether it is the `unknown/unknown` that build tools put on attestations."""
        return "unknown" in (self.os, self.architecture)

    def rank(self, image: Platform) -> int | None:
        """How well `image` runs on this platform: 0 is exact, more is worse, None is not at all."""
        if image.os != self.os:
            return None
        wanted = (image.architecture, image.variant or _DEFAULT_VARIANT.get(image.architecture, ""))
        runnable = _runnable(self.architecture, self.variant)
        return runnable.index(wanted) if wanted in runnable else None

    def matches(self, image: Platform) -> bool:
        """Whether `image` is for this very platform (variants by their defaults)."""
        return self.rank(image) == 0

    def choose(self, candidates: Iterable[tuple[Platform, _T]]) -> _T | None:
        """The candidate that fits best; the first of equals; None when none can run here."""
        ranked = [(rank, value) for image, value in candidates if (rank := self.rank(image)) is not None]
        return min(ranked, key=lambda pair: pair[0])[1] if ranked else None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def _normalise(architecture: str, variant: str) -> tuple[str, str]:
    if architecture in _ARCHITECTURE_ALIASES:
        architecture, implied = _ARCHITECTURE_ALIASES[architecture]
        variant = variant or implied
    if variant.isdigit() and architecture in _DEFAULT_VARIANT:
        variant = f"v{variant}"
    if architecture in ("arm64", "amd64") and variant == _DEFAULT_VARIANT[architecture]:
        variant = ""
    if architecture == "arm" and not variant:
        variant = "v7"
    return architecture, variant


def _runnable(architecture: str, variant: str) -> list[tuple[str, str]]:
    """The architectures and variants that run on a machine, best first."""
    variant = variant or _DEFAULT_VARIANT.get(architecture, "")
    runnable = [(architecture, variant)]
    number = variant[1:].split(".")[0]
    level = int(number) if number.isdigit() and len(number) < 3 else 0
    if architecture == "amd64":
        runnable += [("amd64", f"v{lower}") for lower in range(level - 1, 0, -1)] + [("386", "")]
    elif architecture == "arm":
        runnable += [("arm", f"v{lower}") for lower in range(level - 1, 4, -1)]
    elif architecture == "arm64":
        runnable += [("arm64", f"v{lower}") for lower in range(level, 7, -1) if f"v{lower}" != variant]
        runnable += [("arm", f"v{lower}") for lower in (8, 7, 6, 5)]
    return runnable
