"""Listing images."""

from __future__ import annotations

import time
from collections.abc import Callable
from fnmatch import translate
from re import compile as compile_pattern
from typing import TYPE_CHECKING, Any

import msgspec

from wherry.api import filters as api_filters
from wherry.core.images import Image
from wherry.engine.images.cache import ResolvedImage
from wherry.engine.images.find import FoundImage, find_image
from wherry.engine.images.manifests import manifests_to_wire
from wherry.engine.images.names import repo_digests, repo_tags, unpacked_size
from wherry.engine.labels import labels_match
from wherry.engine.times import parse_timestamp
from wherry.errors import NotFound, WherryError

if TYPE_CHECKING:
    from wherry.api.filters import Filters
    from wherry.engine.engine import Engine

FILTERS = frozenset({"before", "dangling", "label", "reference", "since", "until"})


class ListedImage(msgspec.Struct, kw_only=True, frozen=True):
    """One target with its names and, if it can be read, what it resolves to on this host."""

    found: FoundImage
    resolved: ResolvedImage | None
    size: int

    @property
    def created_ns(self) -> int:
        """When the image was made; 0 where it does not say."""
        return created_ns(self.resolved)

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels."""
        return dict((self.resolved.config.process.get("Labels") if self.resolved else None) or {})


def created_ns(resolved: ResolvedImage | None) -> int:
    """When an image was made, nanoseconds since 1970; 0 where it does not say or nobody can read it."""
    if resolved is None or not resolved.config.created:
        return 0
    try:
        return max(parse_timestamp(resolved.config.created, now_ns=0), 0)
    except WherryError:
        return 0


def all_images(engine: Engine) -> list[ListedImage]:
    """Every image, one entry a target.  Blocks."""
    groups: dict[str, list[Image]] = {}
    for image in engine.images.list(engine.tenant):
        groups.setdefault(str(image.target.digest), []).append(image)
    return [_listed(engine, names) for names in groups.values()]


def _listed(engine: Engine, names: list[Image]) -> ListedImage:
    found = FoundImage(target=names[0].target, names=tuple(names), by_name=None)
    try:
        resolved = engine.image_cache.resolve(found.target)
    except WherryError:
        return ListedImage(found=found, resolved=None, size=found.target.size)
    size = resolved.layers_size + unpacked_size(engine, resolved)
    return ListedImage(found=found, resolved=resolved, size=size)


async def list_images(
    engine: Engine,
    *,
    all: bool = False,  # noqa: ARG001  kept for the API: there are no intermediate images
    filters: Filters | None = None,
    shared_size: bool = False,
    manifests: bool = False,
    version: tuple[int, int] = (1, 56),
) -> list[dict[str, Any]]:
    """Summaries of images, the newest first.

    Raises:
        InvalidArgument: an unknown filter or value.
        NotFound: `before` or `since` names no image.
    """
    filters = filters or {}
    api_filters.check(filters, FILTERS)
    listed = await engine.threads.disk(all_images, engine)
    for test in _tests(engine, filters, listed):
        listed = [image for image in listed if test(image)]
    listed.sort(key=lambda image: image.created_ns, reverse=True)
    summaries = [_summary(engine, image, version) for image in listed]
    if shared_size:
        for image, summary in zip(listed, summaries, strict=True):
            summary["SharedSize"] = await engine.threads.disk(_shared_size, engine, image)
    if manifests and version >= (1, 47):
        for image, summary in zip(listed, summaries, strict=True):
            summary["Manifests"] = await engine.threads.disk(manifests_to_wire, engine, image.found.target)
    return summaries


def _summary(engine: Engine, image: ListedImage, version: tuple[int, int]) -> dict[str, Any]:
    tags, digests = repo_tags(image.found), repo_digests(image.found)
    if version < (1, 43) and not tags:
        tags = ["<none>:<none>"]
        digests = digests or ["<none>@<none>"]
    summary: dict[str, Any] = {
        "Id": str(image.found.target.digest),
        "ParentId": "",
        "RepoTags": tags,
        "RepoDigests": digests,
        "Created": image.created_ns // 1_000_000_000,
        "Size": image.size,
        "SharedSize": -1,
        "Labels": image.labels or None,
        "Containers": -1 if version < (1, 51) else len(image_users(engine, str(image.found.target.digest))),
    }
    if version < (1, 44):
        summary["VirtualSize"] = image.size
    if version >= (1, 48):
        summary["Descriptor"] = image.found.target.to_dict()
    return summary


def image_users(engine: Engine, image_id: str) -> list[str]:
    """The ids of the containers made from an image."""
    return [container.id for container in engine.containers if container.record.image_id == image_id]


def _shared_size(engine: Engine, image: ListedImage) -> int:
    """The bytes of the layers that another image stands on as well."""
    if image.resolved is None:
        return 0
    others = [other.resolved for other in all_images(engine) if other.found.target != image.found.target]
    used = {chain for other in others if other is not None for chain in _chain(engine, other)}
    return sum(engine.snapshots.usage(key).bytes for key in _chain(engine, image.resolved) if key in used)


def _chain(engine: Engine, resolved: ResolvedImage) -> list[str]:
    keys: list[str] = []
    key: str | None = resolved.chain_id or None
    while key is not None and engine.snapshots.exists(key):
        keys.append(key)
        key = engine.snapshots.stat(key).parent
    return keys


def _tests(
    engine: Engine, filters: Filters, listed: list[ListedImage]
) -> list[Callable[[ListedImage], bool]]:
    tests: list[Callable[[ListedImage], bool]] = []
    if "dangling" in filters:
        dangling = api_filters.boolean(filters, "dangling", default=False)
        tests.append(lambda image: bool(image.found.references) != dangling)
    if filters.get("label"):
        tests.append(lambda image: labels_match(image.labels, filters["label"]))
    if filters.get("reference"):
        tests.append(reference_test(filters["reference"]))
    if filters.get("before"):
        before = _created(engine, filters["before"], listed)
        tests.append(lambda image: image.created_ns < before)
    if filters.get("since"):
        since = _created(engine, filters["since"], listed)
        tests.append(lambda image: image.created_ns > since)
    if filters.get("until"):
        until = min(parse_timestamp(value, now_ns=time.time_ns()) for value in filters["until"])
        tests.append(lambda image: image.created_ns < until)
    return tests


def _created(engine: Engine, names: list[str], listed: list[ListedImage]) -> int:
    target = find_image(engine, names[0]).target
    found = next((image for image in listed if image.found.target == target), None)
    if found is None:
        raise NotFound(f"No such image: {names[0]}")
    return found.created_ns


def reference_test(patterns: list[str]) -> Callable[[ListedImage], bool]:
    """Whether a name of the image fits a pattern, with or without its tag; `*` stops at slashes."""
    compiled = [compile_pattern(translate(pattern).replace(".*", "[^/]*")) for pattern in patterns]

    def test(image: ListedImage) -> bool:
        names = {form for ref in image.found.references for form in (ref.familiar(), ref.familiar_name)}
        return any(pattern.match(name) for pattern in compiled for name in names)

    return test
