"""Remotes: the client of image registries.

A `Registry` is opened for one operation (a pull, a push, a login) and closed after it.  It speaks
to the registry of one reference, on the transfer pool, behind coroutines; closing it, or cancelling
a call, closes its sockets, so no thread is left waiting for a peer.

Nothing a registry says is believed: manifests are compared with their digests before they are
parsed, blobs go through the content store's verified ingest, every size is bounded, and a URL the
server chose (redirect, realm, upload location) receives no credentials of another origin and leads
to no address class that the registry itself is not in (R17, R18, R19).

Only this package imports urllib3, and only when a registry is really opened.

Spec: distribution-spec; Docker token authentication.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from wherry.errors import InvalidArgument, NotFound, WherryError
from wherry.oci.descriptor import Descriptor
from wherry.oci.reference import Reference


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a client sent along for one registry: the decoded `X-Registry-Auth`."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""
    server_address: str = ""

    def __repr__(self) -> str:
        return f"Credentials(server_address={self.server_address!r})"  # secrets stay out of logs


class RegistryOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's settings for registries."""

    insecure: tuple[str, ...] = ()
    """`host[:port]` or CIDR of registries that may be reached by plain http or unverified TLS."""
    mirrors: tuple[str, ...] = ()
    """Base URLs tried before Docker Hub, for pulls only."""
    trusted_realms: tuple[str, ...] = ()
    """Hosts of token servers that may receive the credentials of any registry."""
    certificates: tuple[Path, ...] = ()
    """Directories of `HOST[:PORT]/{*.crt,*.cert,*.key}`, as /etc/docker/certs.d."""
    attempts: int = 5
    backoff_s: float = 0.5
    """The wait after a first failure; it doubles with each further one."""
    connect_timeout_s: float = 15.0
    read_timeout_s: float = 60.0


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """What a reference points at, at a registry."""

    reference: Reference
    descriptor: Descriptor
    data: bytes | None = None
    """The manifest, when finding its digest took reading it."""


class NoCredentials(WherryError):
    """The registry wants Basic credentials and there are none.

    It has no kind on purpose: Docker answers 500 here, as clients take a 401 for a wish to log in.
    """

    def __init__(self) -> None:
        super().__init__("no basic auth credentials")


class PullDenied(NotFound):
    """The registry refuses, which for most of them also means that there is no such repository."""

    def __init__(self, reference: Reference) -> None:
        super().__init__(
            f"pull access denied for {reference.familiar_name}, "
            "repository does not exist or may require 'docker login'"
        )


class ManifestUnknown(NotFound):
    """The repository has no such tag or digest."""

    def __init__(self, reference: Reference) -> None:
        super().__init__(f'failed to resolve reference "{reference}": {reference}: not found')


class RefusedAddress(InvalidArgument):
    """The server named a URL that a registry may not lead to."""
