"""Registry credentials of the user: DOCKER_AUTH_CONFIG, config.json and credential helpers.

Credentials go to the daemon in the header X-Registry-Auth and nowhere else: never into a message,
never into a log.
"""

from __future__ import annotations

import binascii
import os

from wherry.client.failures import InvalidEndpoint
from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.client.config import Config

DOCKER_HUB = "docker.io"
HUB_KEY = "https://index.docker.io/v1/"
HEADER = "X-Registry-Auth"
HELPER_TIMEOUT_S = 60
_TOKEN_USER = "<token>"  # noqa: S105 — a marker of the protocol, no secret
_NOT_FOUND = "credentials not found in native keychain"


def auth_header(config: Config, domain: str) -> tuple[str, str]:
    """The header for the registry `domain`; credentials of nobody when none are known.

    Raises:
        InvalidEndpoint: a credential helper fails.
    """
    document = json.dumps(credentials(config, domain)).encode()
    text = binascii.b2a_base64(document, newline=False).decode()
    return HEADER, text.replace("+", "-").replace("/", "_")


def credentials(config: Config, domain: str) -> dict[str, str]:
    """`{username, password, serveraddress}` or `{identitytoken, serveraddress}`, or nothing."""
    key = HUB_KEY if domain == DOCKER_HUB else domain
    helper = config.table("credHelpers").get(key) or config.text("credsStore")
    inline = os.environ.get("DOCKER_AUTH_CONFIG")
    if inline:
        entry = _inline(inline, key)
        if entry:
            return _decoded(entry, key)
    if helper:
        return _from_helper(str(helper), key)
    return _decoded(_entry(config.table("auths"), key), key)


def _entry(auths: dict[str, Any], key: str) -> dict[str, Any]:
    """The entry for `key`; older files have a scheme and a path around the host."""
    if isinstance(auths.get(key), dict):
        found: dict[str, Any] = auths[key]
        return found
    for name, entry in auths.items():
        host = name.partition("://")[2] or name
        if host.partition("/")[0] == key and isinstance(entry, dict):
            return entry
    return {}


def _inline(document: str, key: str) -> dict[str, Any]:
    try:
        parsed = json.loads(document)
        return _entry(parsed["auths"], key)
    except (ValueError, KeyError, TypeError):
        raise InvalidEndpoint("invalid DOCKER_AUTH_CONFIG: not an object with auths") from None


def _decoded(entry: dict[str, Any], key: str) -> dict[str, str]:
    if not entry:
        return {}
    if entry.get("identitytoken"):
        return {"identitytoken": str(entry["identitytoken"]), "serveraddress": key}
    if entry.get("registrytoken"):
        return {"registrytoken": str(entry["registrytoken"]), "serveraddress": key}
    text = str(entry.get("auth") or "")
    try:
        pair = binascii.a2b_base64(text, strict_mode=True).decode().rstrip("\0")
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidEndpoint(f"invalid auth configuration for {key}") from None
    user, colon, password = pair.partition(":")
    if not colon:
        return {}
    return {"username": user, "password": password, "serveraddress": key}


def _from_helper(name: str, key: str) -> dict[str, str]:
    """Ask `docker-credential-NAME get`."""
    import subprocess  # only for those who have a helper

    program = f"docker-credential-{name}"
    try:
        done = subprocess.run(
            [program, "get"], input=key.encode(), capture_output=True, timeout=HELPER_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else "timed out"
        raise InvalidEndpoint(f"error getting credentials: {program}: {reason}") from None
    if done.returncode:
        text = done.stdout.decode("utf-8", "replace").strip()
        if _NOT_FOUND in text:
            return {}
        raise InvalidEndpoint(
            f"error getting credentials - err: exit status {done.returncode}, out: `{text}`"
        )
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise InvalidEndpoint(f"error getting credentials: {program} answered no credentials") from None
    if user == _TOKEN_USER:
        return {"identitytoken": secret, "serveraddress": key}
    return {"username": user, "password": secret, "serveraddress": key}
