"""Named endpoints, as Docker's CLI stores them under the configuration directory.

    contexts/meta/<hex SHA-256 of the name>/meta.json
        {"Name": …, "Metadata": {…}, "Endpoints": {"docker": {"Host": …, "SkipTLSVerify": bool}}}
    contexts/tls/<the same>/docker/{ca,cert,key}.pem

`default` is no file: it stands for the environment.
"""

from __future__ import annotations

import os

from wherry.client.failures import InvalidEndpoint
from wherry.files import json

DEFAULT = "default"


class Context:
    """A stored context: where its daemon is, and its TLS files (empty strings where absent)."""

    __slots__ = ("ca", "cert", "host", "key", "name", "skip_verify")

    def __init__(self, name: str, host: str, skip_verify: bool, files: tuple[str, str, str]) -> None:
        self.name = name
        self.host = host
        self.skip_verify = skip_verify
        self.ca, self.cert, self.key = files


def load_context(directory: str, name: str) -> Context:
    """The context `name` of the store in the configuration directory.

    Raises:
        InvalidEndpoint: no such context, or one without a Docker endpoint.
    """
    key = _directory_name(name)
    path = os.path.join(directory, "contexts", "meta", key, "meta.json")
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InvalidEndpoint(f'context "{name}": context not found: open {path}: {reason}') from None
    except ValueError as error:
        raise InvalidEndpoint(f'context "{name}": parsing {path}: {error}') from None
    endpoints = document.get("Endpoints") if isinstance(document, dict) else None
    docker = endpoints.get("docker") if isinstance(endpoints, dict) else None
    if not isinstance(docker, dict):
        raise InvalidEndpoint(f'context "{name}": no docker endpoint')
    tls = os.path.join(directory, "contexts", "tls", key, "docker")
    ca, cert, key_file = (_if_there(os.path.join(tls, f"{part}.pem")) for part in ("ca", "cert", "key"))
    return Context(
        name, str(docker.get("Host") or ""), bool(docker.get("SkipTLSVerify")), (ca, cert, key_file)
    )


def _directory_name(name: str) -> str:
    import hashlib  # only for those who use contexts

    return hashlib.sha256(name.encode()).hexdigest()


def _if_there(path: str) -> str:
    return path if os.path.exists(path) else ""
