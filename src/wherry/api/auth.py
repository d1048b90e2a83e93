"""Registry credentials as clients send them: `X-Registry-Auth`, `X-Registry-Config`, and the body of /auth.

The header is base64 of a JSON object.  Clients differ in alphabet and padding; all four combinations are
accepted.  Nothing here is ever logged.

Spec: Docker Engine API, "Authentication".
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from wherry.errors import InvalidArgument

HEADER = "x-registry-auth"
CONFIG_HEADER = "x-registry-config"
_LIMIT_BYTES = 64 * 1024


class RegistryAuth(msgspec.Struct, frozen=True, kw_only=True):
    """What a client knows about itself at one registry; empty is anonymous."""

    username: str = ""
    password: str = ""
    auth: str = ""
    server_address: str = msgspec.field(default="", name="serveraddress")
    identity_token: str = msgspec.field(default="", name="identitytoken")
    registry_token: str = msgspec.field(default="", name="registrytoken")

    def __repr__(self) -> str:
        return f"RegistryAuth(username={self.username!r}, server_address={self.server_address!r}, …)"

    @property
    def is_anonymous(self) -> bool:
        """Whether there is nothing to show to a registry."""
        return not (self.username or self.identity_token or self.registry_token)


ANONYMOUS = RegistryAuth()


def decode_auth(header: str | None) -> RegistryAuth:
    """The credentials in an `X-Registry-Auth` header; none, empty and `null` are anonymous.

    Raises:
        InvalidArgument: not base64 of a JSON object of that form.
    """
    if not header:
        return ANONYMOUS
    try:
        return parse_auth(_decode_base64(header))
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError):
        raise InvalidArgument("invalid X-Registry-Auth header: not base64 of a JSON object") from None


def decode_auth_config(header: str | None) -> dict[str, RegistryAuth]:
    """The credentials by registry host in an `X-Registry-Config` header.

    Raises:
        InvalidArgument: as for `decode_auth`.
    """
    if not header:
        return {}
    try:
        hosts = msgspec.json.decode(_decode_base64(header), type=dict[str, dict[str, str | None]] | None)
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError):
        raise InvalidArgument("invalid X-Registry-Config header: not base64 of a JSON object") from None
    return {host: _from_members(members) for host, members in (hosts or {}).items()}


def parse_auth(document: bytes) -> RegistryAuth:
    """The credentials in a JSON object.

    Raises:
        msgspec.DecodeError: not JSON, or a member of another type.
    """
    return _from_members(msgspec.json.decode(document, type=dict[str, str | int | bool | None] | None) or {})


def _from_members(members: dict[str, str | None] | dict[str, str | int | bool | None]) -> RegistryAuth:
    known = {name.lower(): value for name, value in members.items() if isinstance(value, str)}
    auth = msgspec.convert(known, RegistryAuth)
    if not auth.auth or auth.username:
        return auth
    # The form of config.json: base64 of "user:password" in one member.
    username, _, password = _decode_base64(auth.auth).decode().partition(":")
    return msgspec.structs.replace(auth, username=username, password=password.rstrip("\0"), auth="")


def _decode_base64(text: str) -> bytes:
    if len(text) > _LIMIT_BYTES:
        raise ValueError("longer than credentials are")
    standard = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
