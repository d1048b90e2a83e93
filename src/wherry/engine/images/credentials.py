"""A client's credentials as the registry client takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.core.remotes import Credentials

if TYPE_CHECKING:
    from wherry.api.auth import RegistryAuth


def credentials_of(auth: RegistryAuth | None) -> Credentials | None:
    """The credentials in `auth`, or None for an anonymous client."""
    if auth is None or auth.is_anonymous:
        return None
    return Credentials(
        username=auth.username,
        password=auth.password,
        identity_token=auth.identity_token,
        registry_token=auth.registry_token,
        server_address=auth.server_address,
    )
