"""Trying credentials at a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.core.remotes import Credentials
from wherry.core.remotes.login import check_credentials
from wherry.engine.images.credentials import credentials_of

if TYPE_CHECKING:
    from wherry.api.auth import RegistryAuth
    from wherry.engine.engine import Engine


async def authenticate(engine: Engine, auth: RegistryAuth) -> dict[str, Any]:
    """Try `auth` at its registry: `{Status, IdentityToken}`.  Nothing is kept.

    Raises:
        Unauthenticated: the registry refuses.
        InvalidArgument: the address is none.
    """
    credentials = credentials_of(auth) or Credentials(server_address=auth.server_address)
    await check_credentials(credentials, options=engine.transfer.registries, threads=engine.threads)
    return {"Status": "Login Succeeded", "IdentityToken": ""}
