"""What a command works with: the daemon's client, the configuration, and the three streams.

Output is written as bytes, at once: nothing is left in a buffer when a signal ends the program,
and text from a daemon that is no UTF-8 goes through as it came.
"""

from __future__ import annotations

import os

from wherry.client.config import load_config
from wherry.client.failures import InvalidEndpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.client.api import Client
    from wherry.client.config import Config
    from wherry.client.endpoint import Endpoint, TlsOptions

PROGRAM = "wherry"


class Session:
    """One run of the program."""

    def __init__(
        self,
        *,
        config_directory: str | None = None,
        hosts: list[str] | None = None,
        context: str | None = None,
        tls: TlsOptions | None = None,
        stdin_fd: int = 0,
        stdout_fd: int = 1,
        stderr_fd: int = 2,
    ) -> None:
        self._config_directory = config_directory
        self._hosts = hosts or []
        self._context = context
        self._tls = tls
        self._config: Config | None = None
        self._client: Client | None = None
        self._endpoint: Endpoint | None = None
        self.stdin_fd, self.stdout_fd, self.stderr_fd = stdin_fd, stdout_fd, stderr_fd
        self.command_path = PROGRAM

    @property
    def config(self) -> Config:
        """The client's configuration file, read once.

        Raises:
            InvalidEndpoint: the file is no JSON object.
        """
        if self._config is None:
            self._config = load_config(self._config_directory)
        return self._config

    @property
    def endpoint(self) -> Endpoint:
        """The daemon's address.

        Raises:
            InvalidEndpoint: flags or environment name none.
        """
        if self._endpoint is None:
            from wherry.client.endpoint import resolve_endpoint

            try:
                self._endpoint = resolve_endpoint(
                    self.config, hosts=self._hosts, context=self._context, tls=self._tls
                )
            except InvalidEndpoint as error:
                raise InvalidEndpoint(f"Failed to initialize: {error}") from None
        return self._endpoint

    @property
    def client(self) -> Client:
        """The daemon's client; nothing is connected before the first call."""
        if self._client is None:
            from wherry import __version__
            from wherry.client.api import Client

            self._client = Client(
                self.endpoint,
                headers=custom_headers(self.config),
                user_agent=f"wherry-client/{__version__} (linux)",
                start_daemon=_start_daemon if self.endpoint.implied else None,
            )
        return self._client

    def close(self) -> None:
        """Close the connection to the daemon."""
        if self._client is not None:
            self._client.close()

    def out(self, text: str) -> None:
        """Write to standard output."""
        write_all(self.stdout_fd, text.encode("utf-8", "surrogateescape"))

    def err(self, text: str) -> None:
        """Write to standard error."""
        write_all(self.stderr_fd, text.encode("utf-8", "surrogateescape"))

    def line(self, text: str) -> None:
        """Write a line to standard output."""
        self.out(text + "\n")


def custom_headers(config: Config) -> list[tuple[str, str]]:
    """Headers of the user's own: DOCKER_CUSTOM_HEADERS as CSV of name=value, else the configuration's.

    Raises:
        InvalidEndpoint: an entry without a name.
    """
    given = os.environ.get("DOCKER_CUSTOM_HEADERS")
    if not given:
        headers = [(name, str(value)) for name, value in config.table("HttpHeaders").items()]
        return [header for header in headers if header[0].lower() != "user-agent"]
    from wherry.cli.csv import read_record

    headers = []
    try:
        for field in read_record(given):
            name, _, value = field.partition("=")
            if not name.strip():
                raise ValueError(f"empty key in {field!r}")
            headers.append((name.strip(), value))
    except ValueError as error:
        raise InvalidEndpoint(f"invalid DOCKER_CUSTOM_HEADERS: {error}") from None
    return headers


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte, waiting where the other end is slow or does not block.

    Raises:
        OSError: EPIPE when nobody reads, ENOSPC.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            import select

            select.select((), (descriptor,), ())


def _start_daemon(endpoint: Endpoint) -> bool:
    from wherry.cli.daemon_start import start_daemon

    return start_daemon(endpoint)
