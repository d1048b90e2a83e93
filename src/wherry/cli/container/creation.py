"""Creating a container, with the pull of its image where it is missing: for run and create."""

from __future__ import annotations

import os

from wherry.cli.container.body import container_body
from wherry.cli.failures import CommandFailed
from wherry.client.failures import NotFoundResponse
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.flags import Options
    from wherry.cli.session import Session
    from wherry.oci.reference import Reference

PROXY_KEYS = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "noProxy": "NO_PROXY",
    "ftpProxy": "FTP_PROXY",
    "allProxy": "ALL_PROXY",
}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ID_LENGTH = 64
PULL_POLICIES = ("always", "missing", "never")


class CidFile:
    """The file of --cidfile: made before the container, removed again when there is none.

    Raises:
        CommandFailed: it exists, or cannot be made.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._written = False
        self._descriptor = -1
        if not path:
            return
        if os.path.lexists(path):
            raise CommandFailed(
                f"container ID file found, make sure the other container isn't running or delete {path}"
            )
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise CommandFailed(f"failed to create the container ID file: {error}") from None

    def write(self, container_id: str) -> None:
        """Note the container's id."""
        if self._descriptor >= 0:
            os.write(self._descriptor, container_id.encode())
            self._written = True

    def close(self) -> None:
        """Close the file, and remove it when no id was written."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        if not self._written:
            os.unlink(self._path)


def prepare_body(session: Session, options: Options, arguments: list[str]) -> dict[str, Any]:
    """The body of the call, checked as far as the client can, with the proxies of the configuration.

    Raises:
        CommandFailed: options that contradict each other.
    """
    body = container_body(options, arguments)
    if "proxies" in session.config.values:
        known = {variable.partition("=")[0] for variable in body["Env"]}
        proxies = proxy_variables(session.config.table("proxies"), session.endpoint.host)
        body["Env"] += [f"{name}={value}" for name, value in proxies.items() if name not in known]
    if options["pull"] not in PULL_POLICIES:
        raise CommandFailed(
            f'invalid pull option: \'{options["pull"]}\': must be one of "always", "missing" or "never"'
        )
    return body


def proxy_variables(proxies: dict[str, Any], host: str) -> dict[str, str]:
    """The variables for containers of the daemon at `host`: its own entry, else `default`, in both cases."""
    entry = proxies.get(host) or proxies.get("default") or {}
    variables = {}
    for key, name in PROXY_KEYS.items():
        value = entry.get(key)
        if value:
            variables[name] = variables[name.lower()] = str(value)
    return variables


def create_container(session: Session, options: Options, body: dict[str, Any]) -> str:
    """The id of the new container.

    Raises:
        ErrorResponse: the daemon refuses.
        CommandFailed: the pull fails, or a bad reference.
    """
    image = body["Image"]
    if not _is_plain(image):
        _reference(image)  # refused here, in its own words
    cid_file = CidFile(options["cidfile"])
    try:
        if options["pull"] == "always":
            _pull(session, _reference(image), options)
        try:
            answer = _create(session, options, body)
        except NotFoundResponse:  # no such image, or not for this platform: Docker's CLI tells no more apart
            reference = _reference(image)
            if options["pull"] != "missing" or reference is None:
                raise
            if not options["quiet"]:
                session.err(f"Unable to find image '{reference.familiar()}' locally\n")
            _pull(session, reference, options)
            answer = _create(session, options, body)
        for warning in answer.get("Warnings") or []:
            session.err(f"WARNING: {warning}\n")
        container_id: str = answer["Id"]
        cid_file.write(container_id)
        return container_id
    finally:
        cid_file.close()


def _reference(image: str) -> Reference | None:
    """The image as a name; None where it is an id."""
    from wherry.oci.reference import Reference

    if image.startswith("sha256:") or _is_id(image):
        return None
    try:
        return Reference.parse(image).with_default_tag()
    except InvalidArgument as error:
        raise CommandFailed(str(error)) from None


def _is_plain(image: str) -> bool:
    """Whether the name is one word with at most a tag: right without the grammar being loaded."""
    name, colon, tag = image.partition(":")
    return (
        _PLAIN.issuperset(name)
        and 0 < len(name) < _ID_LENGTH
        and (not colon or (bool(tag) and _PLAIN.issuperset(tag)))
    )


def _is_id(text: str) -> bool:
    return len(text) == _ID_LENGTH and set(text) <= set("0123456789abcdef")


def platform_of(options: Options) -> str:
    """--platform, or DOCKER_DEFAULT_PLATFORM."""
    return str(options["platform"] or os.environ.get("DOCKER_DEFAULT_PLATFORM", ""))


def _create(session: Session, options: Options, body: dict[str, Any]) -> dict[str, Any]:
    query = []
    platform = platform_of(options)
    if platform:
        query.append(("platform", platform))
    if options["name"]:
        query.append(("name", options["name"]))
    answer: dict[str, Any] = session.client.json("POST", "/containers/create", query=query, body=body)
    return answer


def _pull(session: Session, reference: Reference | None, options: Options) -> None:
    if reference is None:
        return  # an id names no place to pull from
    from wherry.cli.image.transfer import pull_image

    pull_image(session, reference, platform=platform_of(options), quiet=options["quiet"], to_stderr=True)
