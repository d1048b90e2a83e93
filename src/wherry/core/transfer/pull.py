"""Pull: an image from a registry, unpacked and named.

    lease ─► resolve ─► index ─► manifest ─► config, layers (three at a time) ─► unpack ─► name

The lease comes first, before anything is found to be here already, so that nothing a pull
relies on is collected under it.  The name comes last.
"""

from __future__ import annotations

import asyncio

from wherry.core.content import ContentStore, IngestBusy
from wherry.core.images import Image
from wherry.core.leases import HeldLease
from wherry.core.remotes import Credentials
from wherry.core.remotes.registry import Registry
from wherry.core.transfer.intake import ingest_key, receive, store_bytes
from wherry.core.transfer.progress import Progress, Reporter, silent
from wherry.core.transfer.reading import INDEX_DEPTH
from wherry.core.transfer.services import TransferServices, held_lease, name_image, run_all
from wherry.core.transfer.unpacking import is_unpacked, unpack
from wherry.diagnostics.faults import fault_point
from wherry.errors import DataLoss, NotFound, Unsupported
from wherry.oci import media_types
from wherry.oci.descriptor import Descriptor
from wherry.oci.documents import DOCUMENT_LIMIT_BYTES, InvalidDocument
from wherry.oci.image_config import ImageConfig
from wherry.oci.manifest import Manifest, Schema1Removed, parse_manifest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference

SOURCE_LABEL = "containerd.io/distribution.source."
"""Labels of blobs: at which registry, in which repositories they are known to be."""
_BUSY_INTERVAL_S = 0.2


class NoMatchingManifest(NotFound):
    """The index has nothing for the platform."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(f"no matching manifest for {platform} in the manifest list entries")


async def pull(
    services: TransferServices,
    reference: Reference,
    *,
    platform: Platform | None = None,
    credentials: Credentials | None = None,
    progress: Progress = silent,
) -> Image:
    """The image that `reference` points at, for `platform` or this machine, unpacked and named.

    Raises:
        PullDenied, ManifestUnknown, NoMatchingManifest: there is no such image for this client.
        DataLoss: the registry sent other bytes than the digests say.
        ResourceExhausted: the disk is full, or the registry limits the rate.
    """
    reference = reference.with_default_tag()
    registry = Registry(
        reference, credentials=credentials, options=services.registries, threads=services.threads
    )
    async with held_lease(services) as lease, registry:
        fault_point("pull.leased")
        return await _Pull(services, lease, registry, reference, platform, Reporter(progress)).run()


async def remote_tags(
    services: TransferServices, reference: Reference, *, credentials: Credentials | None = None
) -> list[Reference]:
    """The references of all tags that the registry has of `reference`'s repository.

    Raises:
        PullDenied: there is no such repository for this client.
        NotFound: it has no tags.
        InvalidDocument: the registry sent no list of tags.
    """
    registry = Registry(
        reference, credentials=credentials, options=services.registries, threads=services.threads
    )
    async with registry:
        tags = await registry.tags()
    if not tags:
        raise NotFound(f"no tags found for {reference.familiar_name}")
    return [reference.with_tag(tag) for tag in tags]


class _Pull:
    """One pull under way."""

    def __init__(
        self,
        services: TransferServices,
        lease: HeldLease,
        registry: Registry,
        reference: Reference,
        platform: Platform | None,
        reporter: Reporter,
    ) -> None:
        self._services = services
        self._content = services.content
        self._disk = services.threads.disk
        self._lease = lease
        self._registry = registry
        self._reference = reference
        self._platform = platform
        self._reporter = reporter
        self._slots = asyncio.Semaphore(services.concurrent_downloads)

    async def run(self) -> Image:
        resolved = await self._registry.resolve(self._reference)
        fault_point("pull.resolved")
        try:
            target, manifest = await self._manifest(resolved.descriptor, resolved.data)
        except Schema1Removed:
            raise Schema1Removed(self._reference.familiar()) from None
        self._tell(self._reference.tag or str(self._reference.digest), f"Pulling from {self._reference.path}")
        config = await self._config(manifest)
        await self._layers(manifest, config)
        fault_point("pull.unpacked")
        return await self._name(target)

    async def _manifest(self, root: Descriptor, data: bytes | None) -> tuple[Descriptor, Manifest]:
        """Fetch from `root` down to the platform's manifest; also `root` as what it turned out to be."""
        descriptor, target = root, root
        for _ in range(INDEX_DEPTH):
            data = await self._document(descriptor, data)
            document = parse_manifest(data, descriptor.media_type)
            if descriptor is root:
                target = Descriptor(document.media_type, root.digest, root.size)
            if isinstance(document, Manifest):
                return target, document
            platform = self._platform or Platform.host()
            chosen = document.choose(platform)
            if chosen is None:
                raise NoMatchingManifest(platform)
            descriptor, data = chosen, None
        raise InvalidDocument(f"invalid index: nested more than {INDEX_DEPTH} deep")

    async def _document(self, descriptor: Descriptor, data: bytes | None) -> bytes:
        """The bytes of a manifest or index, from the store or into it."""
        await self._disk(self._lease.add_content, descriptor.digest)
        if await self._disk(self._content.exists, descriptor.digest):
            return await self._disk(self._content.read, descriptor.digest, limit_bytes=DOCUMENT_LIMIT_BYTES)
        if data is None:
            data = await self._registry.manifest(descriptor)
        if len(data) != descriptor.size:
            raise DataLoss(
                f"manifest {descriptor.digest}: expected {descriptor.size} bytes, received {len(data)}"
            )
        await self._disk(store_bytes, self._content, descriptor, data)
        fault_point("pull.manifest-stored")
        await self._note_source(descriptor)
        return data

    async def _config(self, manifest: Manifest) -> ImageConfig:
        """The image config, fetched and checked against manifest and platform."""
        if not manifest.is_image:
            raise Unsupported(f"unsupported image config media type {manifest.config.media_type}")
        for layer in manifest.layers:
            check_layer(layer)
        if manifest.config.size > DOCUMENT_LIMIT_BYTES:
            raise InvalidDocument(f"invalid image config: {manifest.config.size} bytes")
        await self._disk(self._lease.add_content, manifest.config.digest)
        await self._blob(manifest.config, status=None)
        fault_point("pull.config-stored")
        data = await self._disk(self._content.read, manifest.config.digest, limit_bytes=DOCUMENT_LIMIT_BYTES)
        config = ImageConfig.parse(data)
        config.check_layers(manifest)
        if self._platform is not None and self._platform.rank(config.platform) is None:
            raise NotFound(
                f"image with reference {self._reference.familiar()} was found but its platform "
                f"({config.platform}) does not match the specified platform ({self._platform})"
            )
        return config

    async def _layers(self, manifest: Manifest, config: ImageConfig) -> None:
        """Fetch the layers that are not here, each once, and unpack each as soon as it can be."""
        layers = {layer.digest: layer for layer in manifest.layers}
        await self._disk(self._lease.add_content, *layers)
        missing = {digest for digest in layers if not await self._disk(self._content.exists, digest)}
        unpacked = await is_unpacked(self._services, self._lease, config)
        for digest in layers:
            is_done = unpacked and digest not in missing
            self._tell(digest.short, "Already exists" if is_done else "Pulling fs layer")
        arrivals = {digest: asyncio.Event() for digest in layers}
        for digest in layers.keys() - missing:
            arrivals[digest].set()
        if not missing and unpacked:
            return
        await run_all(
            [
                *(self._layer(layers[digest], arrivals[digest]) for digest in layers if digest in missing),
                unpack(
                    self._services,
                    self._lease,
                    manifest,
                    config,
                    self._reporter,
                    arrival=lambda layer: arrivals[layer.digest].wait(),
                ),
            ]
        )

    async def _layer(self, layer: Descriptor, arrival: asyncio.Event) -> None:
        async with self._slots:
            await self._blob(layer, status="Downloading")
        self._tell(layer.digest.short, "Download complete")
        fault_point("pull.layer-stored")
        arrival.set()

    async def _blob(self, descriptor: Descriptor, *, status: str | None) -> None:
        """Fetch a blob; where another pull is at it already, wait for that one."""
        count = (
            self._reporter.counter(descriptor.digest.short, status, descriptor.size) if status else _ignore
        )

        def on_bytes(offset: int) -> None:
            fault_point("pull.blob-received")
            count(offset)

        while not await self._disk(self._content.exists, descriptor.digest):
            try:
                await self._registry.fetch(
                    descriptor, lambda: receive(self._content, ingest_key(descriptor), descriptor), on_bytes
                )
                await self._note_source(descriptor)
            except IngestBusy:
                await asyncio.sleep(_BUSY_INTERVAL_S)

    async def _note_source(self, descriptor: Descriptor) -> None:
        """Note on a blob where it came from: a later push there can mount it."""
        await self._disk(note_source, self._content, descriptor, self._reference)

    async def _name(self, target: Descriptor) -> Image:
        reference = self._reference
        name = str(reference.with_digest(reference.digest) if reference.digest else reference)
        image = await self._disk(name_image, self._services, name, target)
        fault_point("pull.named")
        return image

    def _tell(self, id_: str, status: str) -> None:
        self._reporter.tell(id_, status)


def _ignore(_offset: int) -> None:
    pass


def note_source(content: ContentStore, descriptor: Descriptor, reference: Reference) -> None:
    """Label a blob with the repository that has it."""
    label = SOURCE_LABEL + reference.domain
    known = [path for path in content.info(descriptor.digest).labels.get(label, "").split(",") if path]
    if reference.path not in known:
        content.update_labels(descriptor.digest, {label: ",".join([*known, reference.path][-_SOURCES:])})


_SOURCES = 8


def check_layer(layer: Descriptor) -> None:
    """Refuse layers that cannot be unpacked, and those whose bytes another host would serve.

    Raises:
        Unsupported: with the media type.
    """
    if layer.media_type in media_types.FOREIGN_LAYERS or layer.urls:
        raise Unsupported(f"layer {layer.digest} is to be fetched from another host, which is not done")
    if not media_types.is_layer(layer.media_type):
        raise Unsupported(f"layer {layer.digest}: unsupported media type {layer.media_type}")
