"""The client's configuration file, `config.json`, and the directory that holds it.

The file belongs to Docker's CLI: it is read, never rewritten here, and a missing one is empty.
"""

from __future__ import annotations

import os

from wherry.client.failures import InvalidEndpoint
from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Config:
    """What the file says; `directory` also holds contexts and TLS material."""

    __slots__ = ("directory", "values")

    def __init__(self, directory: str, values: dict[str, Any]) -> None:
        self.directory = directory
        self.values = values

    def text(self, key: str) -> str:
        """A string value, empty when absent or of another type."""
        value = self.values.get(key, "")
        return value if isinstance(value, str) else ""

    def table(self, key: str) -> dict[str, Any]:
        """An object value, empty when absent or of another type."""
        value = self.values.get(key)
        return value if isinstance(value, dict) else {}


def default_directory() -> str:
    """DOCKER_CONFIG, or `.docker` in the home directory."""
    chosen = os.environ.get("DOCKER_CONFIG")
    return chosen or os.path.join(home_directory(), ".docker")


def home_directory() -> str:
    """HOME, or what the password file says."""
    return os.environ.get("HOME") or os.path.expanduser("~")


def load_config(directory: str | None = None) -> Config:
    """The configuration in `directory`, or in the default one.

    Raises:
        InvalidEndpoint: the file is there and holds no JSON object.
    """
    directory = directory or default_directory()
    path = os.path.join(directory, "config.json")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return Config(directory, {})
    except PermissionError:
        return Config(directory, {})
    with os.fdopen(descriptor, "rb") as file:
        document = file.read()
    try:
        values = json.loads(document) if document.strip() else {}
    except ValueError as error:
        raise InvalidEndpoint(f"error loading config file: {path}: {error}") from None
    if not isinstance(values, dict):
        raise InvalidEndpoint(f"error loading config file: {path}: not a JSON object")
    return Config(directory, values)
