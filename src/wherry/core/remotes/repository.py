"""Repository: manifests and blobs read from one repository at one endpoint.

Everything here blocks and runs on the transfer pool.  Whoever calls `close` on the transport
ends it from another thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from wherry.core.remotes import ManifestUnknown, PullDenied, Resolved
from wherry.core.remotes.answers import read_limited, refusal
from wherry.core.remotes.endpoint import Endpoint
from wherry.core.remotes.tags import list_tags
from wherry.core.remotes.transport import RequestFailed
from wherry.errors import DataLoss, Unavailable, WherryError
from wherry.oci import media_types
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest, InvalidDigest, digest_of
from wherry.oci.documents import DOCUMENT_LIMIT_BYTES
from wherry.oci.reference import DEFAULT_TAG, Reference

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_MANIFEST_TYPES = (
    media_types.OCI_INDEX,
    media_types.DOCKER_MANIFEST_LIST,
    media_types.OCI_MANIFEST,
    media_types.DOCKER_MANIFEST,
)
ACCEPT = ", ".join(_MANIFEST_TYPES) + ", */*;q=0.1"
CHUNK_BYTES = 256 << 10
_GENERIC = frozenset(("", "application/json", "application/octet-stream", "text/plain"))


class BlobSink(Protocol):
    """What takes in the bytes of a blob: an ingest of the content store."""

    @property
    def offset(self) -> int:
        """The number of bytes that are here already."""

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes."""

    def restart(self) -> None:
        """Drop the bytes that are here."""


class ManifestMismatch(DataLoss):
    """The registry sent another manifest than its digest says."""

    def __init__(self, digest: Digest, found: Digest) -> None:
        super().__init__(f"manifest verification failed for digest {digest}: received {found}")


class Repository:
    """One repository to read from."""

    def __init__(self, endpoint: Endpoint, reference: Reference) -> None:
        self._endpoint = endpoint
        self._reference = reference.repository
        self._base = f"/v2/{reference.path}"
        self._scope = f"repository:{reference.path}:pull"

    def resolve(self, reference: Reference) -> Resolved:
        """What `reference` points at; its digest, where it has one, counts and not its tag.

        Raises:
            ManifestUnknown, PullDenied: the registry does not have it, or does not give it.
            ManifestMismatch: it has another manifest.
        """
        target = f"{self._base}/manifests/{reference.digest or reference.tag or DEFAULT_TAG}"
        response = self._request("HEAD", target, {"Accept": ACCEPT})
        found = _described(response) if response.status == 200 else None
        if found is not None:
            response.release_conn()
            self._check(reference, found.digest)
            return Resolved(reference=reference, descriptor=found)
        if response.status not in (200, 400, 405, 501):
            raise self._refusal(response, reference)
        response.release_conn()
        return self._resolve_by_reading(reference, target)

    def tags(self) -> list[str]:
        """The tags that the repository has.

        Raises:
            PullDenied: the registry does not have it, or does not give it.
            InvalidDocument: what it sends is no list of tags.
        """

        def ask(target: str) -> BaseHTTPResponse:
            response = self._request("GET", target, {"Accept": "application/json"})
            if response.status == 200:
                return response
            error = self._refusal(response, self._reference)
            raise PullDenied(self._reference) if response.status == 404 else error

        return list_tags(f"{self._base}/tags/list", ask)

    def manifest(self, descriptor: Descriptor) -> bytes:
        """The manifest or index that `descriptor` names.

        Raises:
            ManifestUnknown: the repository does not have it.
            ManifestMismatch: other bytes.
            InvalidDocument: larger than manifests may be.
        """
        target = f"{self._base}/manifests/{descriptor.digest}"
        accept = descriptor.media_type or ACCEPT
        response = self._request("GET", target, {"Accept": accept, "Accept-Encoding": "identity"})
        if response.status != 200:
            raise self._refusal(response, self._reference.with_digest(descriptor.digest))
        data = read_limited(response, "manifest", limit_bytes=DOCUMENT_LIMIT_BYTES)
        found = digest_of(data, descriptor.digest.algorithm)
        if found != descriptor.digest:
            raise ManifestMismatch(descriptor.digest, found)
        return data

    def fetch(self, descriptor: Descriptor, sink: BlobSink, on_bytes: Callable[[int], None]) -> None:
        """Write the blob into `sink`, from its offset on; `on_bytes` hears every new offset.

        A broken connection is taken up again where it broke; the sink verifies the whole.

        Raises:
            NotFound: the registry does not have the blob.
            DataLoss: more or fewer bytes than the descriptor says, or an answer to another range.
            Unavailable: it breaks again and again without any bytes.
        """
        failures = 0
        while sink.offset < descriptor.size or (descriptor.size == 0 and failures == 0):
            before = sink.offset
            try:
                self._fetch_once(descriptor, sink, on_bytes)
                return
            except (RequestFailed, BrokenBody) as error:
                failures = 1 if sink.offset > before else failures + 1
                if failures >= self._endpoint.attempts:
                    raise Unavailable(f"blob {descriptor.digest}: {error}") from None
            self._endpoint.wait_after(failures)

    def _fetch_once(self, descriptor: Descriptor, sink: BlobSink, on_bytes: Callable[[int], None]) -> None:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if sink.offset:
            headers["Range"] = f"bytes={sink.offset}-"
        target = f"{self._base}/blobs/{descriptor.digest}"
        response = self._request("GET", target, headers, attempts=self._endpoint.attempts)
        if response.status == 416 and sink.offset:
            response.close()
            sink.restart()
            raise BrokenBody("the registry cannot go on from the middle")
        if response.status not in (200, 206):
            raise self._refusal(response, self._reference.with_digest(descriptor.digest))
        try:
            _check_range(response, descriptor, sink)
            _copy(response, descriptor, sink, on_bytes)
        except BaseException:
            response.close()  # its rest is not read, so the connection cannot be used again
            raise
        response.release_conn()

    def _resolve_by_reading(self, reference: Reference, target: str) -> Resolved:
        """Resolve at a registry whose HEAD does not tell the digest."""
        response = self._request("GET", target, {"Accept": ACCEPT, "Accept-Encoding": "identity"})
        if response.status != 200:
            raise self._refusal(response, reference)
        media_type = _content_type(response)
        promised = response.headers.get("Docker-Content-Digest", "")
        data = read_limited(response, "manifest", limit_bytes=DOCUMENT_LIMIT_BYTES)
        # Hash first: what the header says is compared with what came, never the other way round.
        algorithm = reference.digest.algorithm if reference.digest else "sha256"
        found = digest_of(data, algorithm)
        self._check(reference, found)
        if promised.startswith(f"{algorithm}:") and promised != found:
            raise ManifestMismatch(_digest(promised), found)
        return Resolved(reference=reference, descriptor=Descriptor(media_type, found, len(data)), data=data)

    def _check(self, reference: Reference, found: Digest) -> None:
        if reference.digest is not None and reference.digest != found:
            raise ManifestMismatch(reference.digest, found)

    def _request(
        self, method: str, target: str, headers: dict[str, str], *, attempts: int = 2
    ) -> BaseHTTPResponse:
        return self._endpoint.request(method, target, scope=self._scope, headers=headers, attempts=attempts)

    def _refusal(self, response: BaseHTTPResponse, reference: Reference) -> WherryError:
        """The failure of a pull that an answer means, in Docker's words."""
        status = response.status
        error = refusal(response)
        if status in (401, 403):
            return PullDenied(self._reference)
        return ManifestUnknown(reference) if status == 404 else error


class BrokenBody(Unavailable):
    """The connection broke in the middle of a blob."""


def _described(response: BaseHTTPResponse) -> Descriptor | None:
    """The descriptor in the headers of a manifest, if they are complete."""
    length = response.headers.get("Content-Length", "")
    digest = response.headers.get("Docker-Content-Digest", "")
    if not digest or not length.isdigit() or len(length) > 8:
        return None
    try:
        return Descriptor(_content_type(response), _digest(digest), int(length))
    except DataLoss:
        response.close()
        raise


def _digest(text: str) -> Digest:
    try:
        return Digest(text)
    except InvalidDigest as error:
        raise DataLoss(f"the registry sent an invalid digest: {error}") from None


def _content_type(response: BaseHTTPResponse) -> str:
    """The media type without parameters; empty for one that tells nothing."""
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    return "" if media_type in _GENERIC else media_type


def _check_range(response: BaseHTTPResponse, descriptor: Descriptor, sink: BlobSink) -> None:
    """Refuse a body that is not the rest of the blob; a whole one restarts the sink."""
    if response.status == 206:
        expected = f"bytes {sink.offset}-{descriptor.size - 1}/"
        found = response.headers.get("Content-Range", "")
        if not sink.offset or not found.startswith(expected):
            raise DataLoss(
                f"blob {descriptor.digest}: expected {expected}…, the registry sent {found[:80]!r}"
            )
    elif sink.offset:
        sink.restart()
    length = response.headers.get("Content-Length", "")
    rest = descriptor.size - sink.offset
    if length.isdigit() and len(length) < 20 and int(length) != rest:
        raise DataLoss(f"blob {descriptor.digest}: expected {rest} bytes, the registry sends {length}")


def _copy(
    response: BaseHTTPResponse, descriptor: Descriptor, sink: BlobSink, on_bytes: Callable[[int], None]
) -> None:
    from urllib3.exceptions import HTTPError

    while True:
        try:
            chunk = response.read(CHUNK_BYTES)
        except (HTTPError, OSError) as error:
            raise BrokenBody(f"connection broke: {type(error).__name__}") from None
        if not chunk:
            break
        if sink.offset + len(chunk) > descriptor.size:
            raise DataLoss(f"blob {descriptor.digest}: more than its {descriptor.size} bytes")
        sink.write(chunk)
        on_bytes(sink.offset)
    if sink.offset < descriptor.size:
        raise BrokenBody(f"connection ended after {sink.offset} of {descriptor.size} bytes")
