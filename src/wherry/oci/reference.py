"""References: names of images, `[domain/]path[:tag][@digest]`, as Docker reads them.

A `Reference` always has its domain: `busybox` is `docker.io/library/busybox`.  Its parts follow
the grammar, so a URL or a file name made from them goes where it says.

    name      = domain "/" component *("/" component)        at most 255 characters
    domain    = host [":" digits]      host = labels of [A-Za-z0-9-] with dots, or "[" IPv6 "]"
    component = [a-z0-9]+ *( ("." | "_" | "__" | "-"+) [a-z0-9]+ )
    tag       = [A-Za-z0-9_] [A-Za-z0-9_.-]{0,127}

Spec: distribution/reference.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.oci.digest import Digest
from wherry.oci.values import Value

DEFAULT_DOMAIN = "docker.io"
LEGACY_DEFAULT_DOMAIN = "index.docker.io"
OFFICIAL_PREFIX = "library/"
DEFAULT_TAG = "latest"
NAME_LIMIT = 255
TAG_LIMIT = 128

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")
_DIGITS = frozenset("0123456789")
_ALNUM = _LOWER | _DIGITS
_LETTERS = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD = _LETTERS | _DIGITS | {"_"}
_TAG = _WORD | {".", "-"}
_HEX = frozenset("0123456789abcdefABCDEF")


class InvalidReference(InvalidArgument):
    """The text names no image; its message is Docker's."""


class Reference(Value):
    """A checked name: `domain` and `path`, with a `tag`, a `digest`, both or neither."""

    __slots__ = ("digest", "domain", "path", "tag")

    domain: str
    path: str
    tag: str | None
    digest: Digest | None

    def __init__(self, domain: str, path: str, tag: str | None = None, digest: Digest | None = None) -> None:
        if not _is_domain(domain) or not _is_path(path):
            raise InvalidReference("invalid reference format")
        if len(domain) + 1 + len(path) > NAME_LIMIT:
            raise InvalidReference(f"repository name must not be more than {NAME_LIMIT} characters")
        if tag is not None and not is_tag(tag):
            raise InvalidReference("invalid tag format")
        self._set(domain=domain, path=path, tag=tag, digest=None if digest is None else Digest(digest))

    @classmethod
    def parse(cls, text: str) -> Reference:
        """The reference that a user wrote, with Docker's defaults for domain and `library/`.

        Raises:
            InvalidReference: with Docker's text.
            InvalidDigest: a digest of an unknown algorithm or a wrong length.
        """
        if len(text) == 64 and (_LOWER | _DIGITS).issuperset(text) and _HEX.issuperset(text):
            raise InvalidReference(
                f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )
        domain, remainder = _split_domain(text)
        repository = remainder.partition(":")[0]
        if repository.lower() != repository:
            raise InvalidReference(
                f"invalid reference format: repository name ({repository}) must be lowercase"
            )
        name, at, digest = remainder.partition("@")
        path, colon, tag = name.partition(":")
        if (colon and not is_tag(tag)) or (at and not _is_digest_form(digest)):
            raise InvalidReference("invalid reference format")
        return cls(domain, path, tag if colon else None, Digest(digest) if at else None)

    @property
    def name(self) -> str:
        """Domain and path, without tag and digest."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The name as Docker shows it: without `docker.io/` and `library/`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        rest = self.path.removeprefix(OFFICIAL_PREFIX)
        return self.path if "/" in rest else rest

    def familiar(self) -> str:
        """The whole reference as Docker shows it."""
        return self.familiar_name + self._suffix()

    @property
    def repository(self) -> Reference:
        """The same name without tag and digest."""
        return Reference(self.domain, self.path)

    def with_tag(self, tag: str) -> Reference:
        """The same name with `tag` and no digest.

        Raises:
            InvalidReference: not a tag.
        """
        return Reference(self.domain, self.path, tag)

    def with_digest(self, digest: Digest) -> Reference:
        """The same name with `digest` and no tag."""
        return Reference(self.domain, self.path, None, digest)

    def with_default_tag(self) -> Reference:
        """Itself, with the tag `latest` when it has neither tag nor digest."""
        return self if self.tag or self.digest else self.with_tag(DEFAULT_TAG)

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse_normalized(text: str) -> Reference:
    """The reference that `text` means to Docker: `busybox` is `docker.io/library/busybox:latest`.

    Raises:
        InvalidReference: with Docker's text.
    """
    return Reference.parse(text).with_default_tag()


def is_tag(text: str) -> bool:
    """Whether `text` is a valid tag."""
    return 0 < len(text) <= TAG_LIMIT and text[0] in _WORD and _TAG.issuperset(text)


def _split_domain(text: str) -> tuple[str, str]:
    """Domain and remainder, with the rules by which Docker tells `host/name` from `user/name`."""
    first, slash, rest = text.partition("/")
    if not slash:
        return DEFAULT_DOMAIN, OFFICIAL_PREFIX + text
    if first == LEGACY_DEFAULT_DOMAIN:
        first = DEFAULT_DOMAIN
    elif first != "localhost" and "." not in first and ":" not in first and first.lower() == first:
        return DEFAULT_DOMAIN, text
    if first == DEFAULT_DOMAIN and "/" not in rest:
        rest = OFFICIAL_PREFIX + rest
    return first, rest


def _is_domain(text: str) -> bool:
    host, port = text, "0"
    if text.startswith("["):
        address, bracket, after = text[1:].partition("]")
        if not bracket or not address or not all(char in _HEX or char == ":" for char in address):
            return False
        return not after or (after[0] == ":" and len(after) > 1 and _DIGITS.issuperset(after[1:]))
    if ":" in text:
        host, _, port = text.partition(":")
    return bool(port) and _DIGITS.issuperset(port) and all(_is_label(label) for label in host.split("."))


def _is_label(text: str) -> bool:
    return (
        bool(text)
        and text[0] != "-"
        and text[-1] != "-"
        and all(char in _LETTERS or char in _DIGITS or char == "-" for char in text)
    )


def _is_path(text: str) -> bool:
    return all(_is_component(component) for component in text.split("/"))


def _is_component(text: str) -> bool:
    if not text or text[0] not in _ALNUM or text[-1] not in _ALNUM:
        return False
    separator = ""
    for char in text:
        if char not in _ALNUM:
            separator += char
            continue
        if separator and separator not in (".", "_", "__") and separator.strip("-"):
            return False
        separator = ""
    return True


def _is_digest_form(text: str) -> bool:
    """Whether `text` is `algorithm:hex` in form, known algorithm or not."""
    algorithm, colon, digits = text.partition(":")
    if not colon or len(digits) < 32 or not _HEX.issuperset(digits):
        return False
    for separator in "-_+.":
        algorithm = algorithm.replace(separator, "/")
    return all(
        part and part[0] in _LETTERS and all(char in _LETTERS or char in _DIGITS for char in part)
        for part in algorithm.split("/")
    )
