"""Trying credentials at a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.errors import Unsupported

if TYPE_CHECKING:
    from wherry.api.auth import RegistryAuth
    from wherry.engine.engine import Engine


async def authenticate(_engine: Engine, _auth: RegistryAuth) -> dict[str, Any]:
    """Try credentials at their registry: `{Status, IdentityToken}`.

    Raises:
        Unsupported: always; the engine keeps no logins, and a yes that was not asked of the
            registry would be worth nothing.
    """
    raise Unsupported(
        "this engine does not check credentials ahead of their use: "
        "they are tried at the registry with each pull and push"
    )
