"""Images by what people call them: name, name with digest, id, or the beginning of an id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wherry.core.images import Image, ImageNotFound
from wherry.engine.images.cache import PlatformNotFound, ResolvedImage
from wherry.errors import InvalidArgument, NotFound
from wherry.oci.descriptor import Descriptor
from wherry.oci.reference import Reference, parse_normalized

if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.oci.platform import Platform

DANGLING_PREFIX = "moby-dangling@"
_HEX = frozenset("0123456789abcdef")
_PREFIX_MINIMUM = 4


class NoSuchImage(NotFound):
    """No image goes by this reference."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"No such image: {reference}")


class FoundImage(msgspec.Struct, kw_only=True, frozen=True):
    """A target, every name that points to it, and the one by which it was found, if it was by name."""

    target: Descriptor
    names: tuple[Image, ...]
    by_name: Image | None

    @property
    def references(self) -> list[Reference]:
        """Its names as references, dangling ones left out."""
        return [Reference.parse(image.name) for image in self.names if not is_dangling(image.name)]


def is_dangling(name: str) -> bool:
    """Whether `name` only keeps an untagged image alive."""
    return name.startswith(DANGLING_PREFIX)


def find_image(engine: Engine, reference: str) -> FoundImage:
    """The image that `reference` means.

    Raises:
        NoSuchImage: none.
        InvalidArgument: not a reference, or the beginning of several ids.
    """
    tenant = engine.tenant
    digest = _digest_part(reference)
    if len(digest) == 64 and not reference.startswith("sha256:"):
        found = _by_prefix(engine, digest)
        return found or _missing(reference)
    if reference.startswith("sha256:"):
        found = _by_prefix(engine, digest) if digest else None
        return found or _missing(reference)
    parsed = parse_normalized(reference)
    image = _by_name(engine, tenant, parsed)
    if image is None and digest:
        found = _by_prefix(engine, digest)
        if found is not None:
            return found
    if image is None:
        raise NoSuchImage(parsed.familiar())
    return _with_names(engine, image.target, image)


async def resolve_image(
    engine: Engine, found: FoundImage, *, platform: Platform | None, name: str
) -> ResolvedImage:
    """The manifest and config behind a found image, read on the disk pool unless remembered.

    Raises:
        NoSuchImage: its content is gone.
        PlatformNotFound: it is for other platforms.
    """
    remembered = engine.image_cache.peek(found.target, platform)
    if remembered is not None:
        return remembered
    try:
        return await engine.threads.disk(engine.image_cache.resolve, found.target, platform, name=name)
    except PlatformNotFound:
        raise
    except NotFound as error:
        raise NoSuchImage(name) from error


def _missing(reference: str) -> FoundImage:
    raise NoSuchImage(reference)


def _digest_part(reference: str) -> str:
    """The hexadecimal digits of something that may be an id or the beginning of one."""
    text = reference.removeprefix("sha256:")
    return text if _PREFIX_MINIMUM <= len(text) <= 64 and _HEX.issuperset(text) else ""


def _by_name(engine: Engine, tenant: str, reference: Reference) -> Image | None:
    if reference.digest is None:
        try:
            return engine.images.get(tenant, str(reference))
        except ImageNotFound:
            return None
    candidates = engine.images.list(tenant, digest=reference.digest)
    same = [
        image for image in candidates if image.name.startswith((f"{reference.name}:", f"{reference.name}@"))
    ]
    return same[0] if same else None


def _by_prefix(engine: Engine, digits: str) -> FoundImage | None:
    images = engine.images.list(engine.tenant)
    targets = {
        str(image.target.digest): image.target
        for image in images
        if image.target.digest.hex.startswith(digits)
    }
    if len(targets) > 1:
        raise InvalidArgument(f"multiple IDs found with provided prefix: {digits}")
    return _with_names(engine, next(iter(targets.values())), None) if targets else None


def _with_names(engine: Engine, target: Descriptor, by_name: Image | None) -> FoundImage:
    names = tuple(engine.images.list(engine.tenant, digest=target.digest))
    return FoundImage(target=target, names=names, by_name=by_name)
