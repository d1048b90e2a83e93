"""Uploads: blobs and manifests written to one repository.

    HEAD blob ── there ──► exists
      │ POST uploads/?mount=D&from=R ── 201 ──► mounted
      │ POST uploads/ ──► Location
      ▼ PUT Location?digest=D with the whole body ──► pushed
        broken off: PATCH pieces from where the registry says it is (GET Location), then PUT

Spec: distribution-spec, Push.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Literal
from urllib.parse import quote

import msgspec

from wherry.core.remotes import RefusedAddress
from wherry.core.remotes.answers import discard, refusal
from wherry.core.remotes.endpoint import Endpoint
from wherry.core.remotes.origins import Location
from wherry.core.remotes.transport import RequestFailed
from wherry.errors import DataLoss, PermissionDenied, Unauthenticated, Unavailable, WherryError
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

PIECE_BYTES = 8 << 20
_PIECE_LIMIT_BYTES = 256 << 20
_DONE = frozenset((200, 201, 202, 204))
_RETRIED = frozenset((408, 413, 429, 500, 502, 503, 504))


class Pushed(msgspec.Struct, frozen=True):
    """How a blob got to the registry; `source` is the repository it was mounted from."""

    how: Literal["exists", "mounted", "pushed"]
    source: str = ""


class PushDenied(PermissionDenied):
    """The registry does not let this client write to the repository."""

    def __init__(self, message: str) -> None:
        super().__init__(
            f"push access denied, repository does not exist or may require authorization: {message}"
        )


class UploadBroken(Unavailable):
    """An upload broke off; it may go on from where the registry has it."""


class Uploads:
    """One repository to write to."""

    def __init__(self, endpoint: Endpoint, reference: Reference) -> None:
        self._endpoint = endpoint
        self._base = f"/v2/{reference.path}"
        self._scope = f"repository:{reference.path}:pull,push"

    def has(self, target: str) -> bool:
        """Whether the repository holds `blobs/DIGEST` or `manifests/REFERENCE`.

        Raises:
            PushDenied: it does not say.
        """
        response = self._request("HEAD", f"{self._base}/{target}")
        if response.status in (200, 404):
            discard(response)
            return response.status == 200
        raise _refusal(response)

    def push_blob(
        self,
        descriptor: Descriptor,
        open_blob: Callable[[], IO[bytes]],
        *,
        sources: tuple[str, ...] = (),
        on_bytes: Callable[[int], None],
    ) -> Pushed:
        """Bring a blob to the repository, by the cheapest way there is.

        `sources` are paths of repositories at the same registry that may hold it.

        Raises:
            PushDenied: no right to write.
            Unavailable: the upload breaks again and again.
        """
        if self.has(f"blobs/{descriptor.digest}"):
            return Pushed("exists")
        location: Location | None = None
        for source in sources:
            location, mounted = self._mount(descriptor.digest, source)
            if mounted:
                return Pushed("mounted", source)
            if location:
                break  # the registry began an upload instead: it goes on below
        location = location or self._begin()[0]
        try:
            self._upload_whole(location, descriptor, open_blob, on_bytes)
        except (RequestFailed, UploadBroken):
            self._upload_pieces(descriptor, open_blob, on_bytes)
        return Pushed("pushed")

    def push_manifest(self, reference: str, media_type: str, data: bytes, digest: Digest) -> None:
        """Put a manifest or index under a tag or digest.

        Raises:
            PushDenied: no right to write.
            DataLoss: the registry read other bytes than were sent.
        """
        response = self._endpoint.request(
            "PUT",
            f"{self._base}/manifests/{reference}",
            scope=self._scope,
            headers={"Content-Type": media_type, "Content-Length": str(len(data))},
            body=lambda: data,
            attempts=self._endpoint.attempts,
        )
        if response.status not in _DONE:
            raise _refusal(response)
        found = response.headers.get("Docker-Content-Digest", "")
        discard(response)
        if found.startswith(f"{digest.algorithm}:") and found != digest:
            raise DataLoss(f"manifest {digest}: the registry received {found[:80]}")

    def _mount(self, digest: Digest, source: str) -> tuple[Location | None, bool]:
        """Ask for the blob of another repository; a registry may begin an upload instead."""
        target = f"{self._base}/blobs/uploads/?mount={digest}&from={quote(source, safe='')}"
        scope = f"{self._scope} repository:{source}:pull"
        try:
            response = self._endpoint.request(
                "POST", target, scope=scope, headers=_EMPTY_BODY, attempts=self._endpoint.attempts
            )
        except (PermissionDenied, Unauthenticated):
            return None, False  # no right to read there: the blob is uploaded like any other
        if response.status != 202:
            discard(response)
            return None, response.status == 201
        location = self._endpoint.location(response)
        discard(response)
        return location, False

    def _begin(self) -> tuple[Location, int]:
        """Begin an upload: where, and how many bytes a piece has at least but for the last."""
        response = self._request("POST", f"{self._base}/blobs/uploads/", _EMPTY_BODY)
        if response.status != 202:
            raise _refusal(response)
        location = self._endpoint.location(response)
        least = response.headers.get("OCI-Chunk-Min-Length", "")
        discard(response)
        return location, min(int(least), _PIECE_LIMIT_BYTES) if least.isdigit() and len(least) < 20 else 0

    def _upload_whole(
        self,
        location: Location,
        descriptor: Descriptor,
        open_blob: Callable[[], IO[bytes]],
        on_bytes: Callable[[int], None],
    ) -> None:
        with open_blob() as blob:

            def body() -> IO[bytes]:
                blob.seek(0)  # once more, where a token expired in between
                return Window(blob, descriptor.size, on_bytes)  # type: ignore[return-value]

            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(descriptor.size),
            }
            place = _with_query(location, f"digest={descriptor.digest}")
            response = self._endpoint.request(
                "PUT", place, scope=self._scope, headers=headers, body=body if descriptor.size else None
            )
        self._check(response)

    def _upload_pieces(
        self, descriptor: Descriptor, open_blob: Callable[[], IO[bytes]], on_bytes: Callable[[int], None]
    ) -> None:
        """Upload in pieces, each taken up where the registry has it."""
        location, least = self._begin()
        offset, failures, piece_bytes = 0, 0, max(PIECE_BYTES, least)
        with open_blob() as blob:
            while offset < descriptor.size:
                length = min(piece_bytes, descriptor.size - offset)
                try:
                    location, offset = self._upload_piece(location, blob, offset, length, on_bytes)
                    failures = 0
                    continue
                except (RequestFailed, UploadBroken) as error:
                    failures += 1
                    if failures >= self._endpoint.attempts:
                        raise Unavailable(f"blob {descriptor.digest}: {error}") from None
                    piece_bytes = max(
                        piece_bytes // 2, least, 1 << 20
                    )  # a proxy may limit the size of a body
                self._endpoint.wait_after(failures)
                location, offset = self._progress(location, descriptor.size)
        place = _with_query(location, f"digest={descriptor.digest}")
        self._check(self._request("PUT", place, _EMPTY_BODY))

    def _upload_piece(
        self,
        location: Location,
        blob: IO[bytes],
        offset: int,
        length: int,
        on_bytes: Callable[[int], None],
    ) -> tuple[Location, int]:
        def body() -> IO[bytes]:
            blob.seek(offset)
            return Window(blob, length, lambda sent: on_bytes(offset + sent))  # type: ignore[return-value]

        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(length),
            "Content-Range": f"{offset}-{offset + length - 1}",
        }
        response = self._endpoint.request("PATCH", location, scope=self._scope, headers=headers, body=body)
        if response.status in _RETRIED or response.status == 416:
            discard(response)
            raise UploadBroken(f"the registry answered {response.status} to a piece")
        if response.status != 202:
            raise _refusal(response)
        location, there = self._where(response, location, offset + length)
        if there <= offset and offset + length > 1:  # "0-0" means nothing as well as one byte
            raise UploadBroken("the registry took a piece and does not have it")
        return location, max(there, offset + 1)

    def _progress(self, location: Location, size: int) -> tuple[Location, int]:
        """Where the registry has an upload, after a piece of it broke off."""
        response = self._request("GET", location)
        if response.status not in (200, 202, 204):
            raise _refusal(response)
        return self._where(response, location, size)

    def _where(self, response: BaseHTTPResponse, before: Location, limit: int) -> tuple[Location, int]:
        """The next location and offset that an answer names: at most `limit`."""
        named = bool(response.headers.get("Location"))
        location = self._endpoint.location(response, before) if named else before
        last = response.headers.get("Range", "").rpartition("-")[2]
        discard(response)
        if not last.isdigit() or len(last) > 18 or int(last) >= limit:
            if last == "0" or not last:
                return location, 0
            raise RefusedAddress(f"the registry says it has {last[:20]} bytes of {limit}")
        return location, int(last) + 1 if last != "0" else 0

    def _check(self, response: BaseHTTPResponse) -> None:
        """Raise what an answer to the last request of an upload means, if it is no success."""
        status = response.status
        if status in _DONE:
            discard(response)
        elif status in _RETRIED:
            discard(response)
            raise UploadBroken(f"the registry answered {status} to an upload")
        else:
            raise _refusal(response)

    def _request(
        self, method: str, target: str | Location, headers: dict[str, str] | None = None
    ) -> BaseHTTPResponse:
        return self._endpoint.request(
            method, target, scope=self._scope, headers=headers, attempts=self._endpoint.attempts
        )


_EMPTY_BODY = {"Content-Length": "0"}


class Window:
    """The next `length` bytes of a file, told to `on_bytes` as they are read for sending."""

    def __init__(self, file: IO[bytes], length: int, on_bytes: Callable[[int], None]) -> None:
        self._file = file
        self._length = length
        self._read = 0
        self._on_bytes = on_bytes

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; empty at the end of the window."""
        rest = self._length - self._read
        chunk = self._file.read(rest if size < 0 else min(size, rest))
        self._read += len(chunk)
        if chunk:
            self._on_bytes(self._read)
        return chunk


def _with_query(location: Location, parameter: str) -> Location:
    joint = "&" if "?" in location.target else "?"
    return Location(location.origin, f"{location.target}{joint}{parameter}")


def _refusal(response: BaseHTTPResponse) -> WherryError:
    error = refusal(response)
    return PushDenied(str(error)) if response.status in (401, 403) else error
