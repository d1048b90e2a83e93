"""Registry: the coroutine face of the client, one for each operation.

    async with Registry(reference, credentials=..., options=..., threads=...) as registry:
        resolved = await registry.resolve(reference)

Calls run on the transfer pool.  A cancelled call closes the sockets of the whole operation and
waits, for a short while, until its thread has let go of the content store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import IO, ParamSpec, Protocol, TypeVar

from wherry.core.remotes import Credentials, RegistryOptions, Resolved
from wherry.core.remotes.endpoint import Endpoint
from wherry.core.remotes.origins import parse_url, registry_origins, server_host
from wherry.core.remotes.repository import BlobSink, Repository
from wherry.core.remotes.transport import Transport
from wherry.core.remotes.uploads import Pushed, Uploads
from wherry.core.threads import Threads
from wherry.errors import DataLoss, WherryError
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.reference import DEFAULT_DOMAIN, Reference

CLOSE_TIMEOUT_S = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class OpenSink(Protocol):
    """Opens what a blob is written to; called on the thread that writes."""

    def __call__(self) -> AbstractContextManager[BlobSink]:
        """The sink, for the length of a block."""


class Registry:
    """A conversation with the registry of one repository."""

    def __init__(
        self,
        reference: Reference,
        *,
        credentials: Credentials | None,
        options: RegistryOptions,
        threads: Threads,
    ) -> None:
        self._threads = threads
        self._calls: set[asyncio.Future[object]] = set()
        self._transport = Transport(options)
        origins = registry_origins(reference.domain, options)
        own = Endpoint(self._transport, origins, _meant_for(reference, credentials), options)
        self._uploads = Uploads(own, reference)
        mirrors = options.mirrors if reference.domain == DEFAULT_DOMAIN else ()
        endpoints = [
            *(Endpoint(self._transport, (parse_url(url).origin,), None, options) for url in mirrors),
            own,
        ]
        self._repositories = [Repository(endpoint, reference) for endpoint in endpoints]

    async def __aenter__(self) -> Registry:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        if not self._calls:
            self._transport.dispose()

    def close(self) -> None:
        """End the conversation, with all that is under way."""
        self._transport.close()

    async def resolve(self, reference: Reference) -> Resolved:
        """What `reference` points at: see `Repository.resolve`."""
        return await self._call(self._first, lambda repository: repository.resolve(reference))

    async def tags(self) -> list[str]:
        """The tags that the repository has: see `Repository.tags`."""
        return await self._call(self._first, lambda repository: repository.tags())

    async def manifest(self, descriptor: Descriptor) -> bytes:
        """The bytes of a manifest or index: see `Repository.manifest`."""
        return await self._call(self._first, lambda repository: repository.manifest(descriptor))

    async def fetch(
        self, descriptor: Descriptor, open_sink: OpenSink, on_bytes: Callable[[int], None]
    ) -> None:
        """Write a blob into a sink: see `Repository.fetch`."""

        def fetch() -> None:
            with open_sink() as sink:
                on_bytes(sink.offset)
                self._first(lambda repository: repository.fetch(descriptor, sink, on_bytes))

        await self._call(fetch)

    async def push_blob(
        self,
        descriptor: Descriptor,
        open_blob: Callable[[], IO[bytes]],
        *,
        sources: tuple[str, ...] = (),
        on_bytes: Callable[[int], None],
    ) -> Pushed:
        """Bring a blob to the registry: see `Uploads.push_blob`."""
        return await self._call(
            self._uploads.push_blob, descriptor, open_blob, sources=sources, on_bytes=on_bytes
        )

    async def push_manifest(self, reference: str, media_type: str, data: bytes, digest: Digest) -> None:
        """Put a manifest or index under a tag or digest: see `Uploads.push_manifest`."""
        await self._call(self._uploads.push_manifest, reference, media_type, data, digest)

    def _first(self, ask: Callable[[Repository], T]) -> T:
        """What the first mirror answers that has an answer, or else the registry itself.

        A mirror that is down or lacks the content is passed over; one that sends wrong bytes is not.
        """
        for mirror in self._repositories[:-1]:
            try:
                return ask(mirror)
            except DataLoss:
                raise
            except WherryError:
                self._transport.check()
        return ask(self._repositories[-1])

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        call = asyncio.ensure_future(self._threads.transfer(function, *args, **kwargs))
        self._calls.add(call)  # type: ignore[arg-type]
        call.add_done_callback(self._calls.discard)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            self._transport.close()
            await asyncio.wait([call], timeout=CLOSE_TIMEOUT_S)
            if call.done() and not call.cancelled():
                call.exception()  # taken note of: the cancellation is what counts
            raise


def _meant_for(reference: Reference, credentials: Credentials | None) -> Credentials | None:
    """The credentials, if they are for the registry of `reference`; they never go to another."""
    if credentials is None:
        return None
    host = server_host(credentials.server_address)
    return credentials if host in ("", reference.domain.lower()) else None
