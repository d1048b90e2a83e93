"""What an image's target resolves to on a platform, read once and kept for a while.

Everything here is named by digest and never changes, so the cache is never wrong; it only
saves reading and checking two documents for each container.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from wherry.errors import NotFound
from wherry.oci import media_types
from wherry.oci.descriptor import Descriptor
from wherry.oci.image_config import ImageConfig, chain_ids
from wherry.oci.manifest import Index, Manifest
from wherry.oci.platform import Platform

if TYPE_CHECKING:
    from wherry.core.content import ContentStore

SIZE = 128
DOCUMENT_LIMIT_BYTES = 8 * 1024 * 1024
_DEPTH_LIMIT = 4


class ResolvedImage(msgspec.Struct, kw_only=True, frozen=True):
    """One image of one platform: its manifest, its config and the name of its file system."""

    target: Descriptor
    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig
    chain_id: str

    @property
    def layers_size(self) -> int:
        """The bytes of manifest, config and layers as stored."""
        return self.descriptor.size + sum(child.size for child in self.manifest.children)


class PlatformNotFound(NotFound):
    """The image is here, but not for this platform."""

    def __init__(self, name: str, found: str, wanted: Platform) -> None:
        super().__init__(
            f"image with reference {name} was found but its platform ({found}) "
            f"does not match the specified platform ({wanted})"
        )


class ImageCache:
    """Resolved images, the least recently used dropped first; from any thread."""

    def __init__(self, content: ContentStore) -> None:
        self._content = content
        self._lock = threading.Lock()
        self._resolved: OrderedDict[tuple[str, Platform | None], ResolvedImage] = OrderedDict()

    def peek(self, target: Descriptor, platform: Platform | None = None) -> ResolvedImage | None:
        """The resolved image if it is remembered; reads nothing."""
        key = str(target.digest), platform
        with self._lock:
            found = self._resolved.get(key)
            if found is not None:
                self._resolved.move_to_end(key)
        return found

    def resolve(
        self, target: Descriptor, platform: Platform | None = None, *, name: str = ""
    ) -> ResolvedImage:
        """The image of `target` for `platform`, or for this host.  Reads from the disk.

        Raises:
            PlatformNotFound: none of its manifests runs there.
            NotFound: a manifest or config is not here.
        """
        found = self.peek(target, platform)
        if found is None:
            found = self._read(target, target, platform, name or str(target.digest), 0)
            with self._lock:
                self._resolved[(str(target.digest), platform)] = found
                while len(self._resolved) > SIZE:
                    self._resolved.popitem(last=False)
        return found

    def _read(
        self, target: Descriptor, descriptor: Descriptor, platform: Platform | None, name: str, depth: int
    ) -> ResolvedImage:
        data = self._content.read(descriptor.digest, limit_bytes=DOCUMENT_LIMIT_BYTES)
        if descriptor.media_type in media_types.INDEXES and depth < _DEPTH_LIMIT:
            chosen = self._choose(Index.parse(data, descriptor.media_type), platform, name)
            return self._read(target, chosen, platform, name, depth + 1)
        manifest = Manifest.parse(data, descriptor.media_type)
        config = ImageConfig.parse(
            self._content.read(manifest.config.digest, limit_bytes=DOCUMENT_LIMIT_BYTES)
        )
        if platform is not None and platform.rank(config.platform) is None:
            raise PlatformNotFound(name, str(config.platform), platform)
        chain = chain_ids(config.diff_ids)
        return ResolvedImage(
            target=target,
            descriptor=descriptor,
            manifest=manifest,
            config=config,
            chain_id=str(chain[-1]) if chain else "",
        )

    def _choose(self, index: Index, platform: Platform | None, name: str) -> Descriptor:
        """The manifest of `index` that runs on `platform`, of those whose content is here."""
        present = [
            (child.platform, child)
            for child in index.manifests
            if child.platform is not None
            and not child.platform.is_unknown
            and self._content.exists(child.digest)
        ]
        wanted = platform or Platform.host()
        chosen = wanted.choose(present)
        if chosen is None and platform is None and present:
            chosen = present[0][1]  # an image of another platform alone: it may run under emulation
        if chosen is None:
            without = [child for child in index.manifests if child.platform is None]
            chosen = next((child for child in without if self._content.exists(child.digest)), None)
        if chosen is None:
            found = ", ".join(str(each) for each, _ in present) or "none"
            raise PlatformNotFound(name, found, wanted)
        return chosen
