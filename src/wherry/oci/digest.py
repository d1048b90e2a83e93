"""Digests: `algorithm:hex`, the names of content.

Every path and URL made from a digest relies on the check here: a `Digest` holds a registered
algorithm and exactly its number of lower-case hexadecimal digits, never a path separator
(CVE-2024-3727).

Spec: image-spec, descriptor.md, Digests.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

HEX_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}
_HEX = frozenset("0123456789abcdef")


class InvalidDigest(InvalidArgument):
    """The text is no digest, or one of an algorithm that is not accepted."""


class Digest(str):
    """A checked digest; as text it is `algorithm:hex`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Digest:
        """The digest that `text` spells.

        Raises:
            InvalidDigest: another form, an unknown algorithm, or a wrong number of digits.
        """
        if isinstance(text, cls):
            return text
        algorithm, colon, digits = text.partition(":")
        if not colon:
            raise InvalidDigest("invalid checksum digest format")
        length = HEX_LENGTH.get(algorithm)
        if length is None:
            raise InvalidDigest("unsupported digest algorithm")
        if len(digits) != length:
            raise InvalidDigest("invalid checksum digest length")
        if not _HEX.issuperset(digits):
            raise InvalidDigest("invalid checksum digest format")
        return super().__new__(cls, text)

    @property
    def algorithm(self) -> str:
        """The name before the colon, such as `sha256`."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The hexadecimal digits after the colon."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first twelve digits, as Docker shows them."""
        return self.hex[:12]

    def hasher(self) -> _Hash:
        """A new hash object of this digest's algorithm."""
        return new_hasher(self.algorithm)

    def matches(self, data: bytes) -> bool:
        """Whether `data` has this digest."""
        return digest_of(data, self.algorithm) == self


def new_hasher(algorithm: str = "sha256") -> _Hash:
    """A new hash object of `algorithm`, which must be registered."""
    import hashlib  # loads libcrypto: only where bytes are hashed

    return hashlib.new(algorithm, usedforsecurity=True)


def digest_of(data: bytes | memoryview, algorithm: str = "sha256") -> Digest:
    """The digest of `data`."""
    hasher = new_hasher(algorithm)
    hasher.update(data)
    return Digest(f"{algorithm}:{hasher.hexdigest()}")
