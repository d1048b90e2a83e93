"""`version`: what the client is and, where one answers, the daemon.

Without a daemon the client's part is shown all the same, and the failure to reach one is the command's.
"""

from __future__ import annotations

import os
import sys

from wherry import __version__
from wherry.cli.commands import Command
from wherry.cli.failures import FAILED, TEMPLATE_FAILED, CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.records import INSPECT_FORMAT_TEXT
from wherry.cli.session import Session
from wherry.client.api import NEWEST_VERSION
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

COMMAND = Command("[OPTIONS]", (Flag("format", "string", INSPECT_FORMAT_TEXT, short="f"),), maximum=0)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_GO_NAMES = {"APIVersion": "ApiVersion", "DefaultAPIVersion": "DefaultAPIVersion"}


class GoNames(dict[str, "Any"]):
    """A JSON object whose fields templates may also name as Go's structs do."""

    def template_field(self, name: str, *_given: object) -> object:
        from wherry.cli.gotemplate.failures import Failure

        name = _GO_NAMES.get(name, name)
        if name not in self:
            raise Failure(f"can't evaluate field {name} in type command.versionInfo")
        value = self[name]
        return GoNames(value) if isinstance(value, dict) else value


def run(session: Session, options: Options, _arguments: list[str]) -> int:
    """Show the versions of client and server."""
    template = _template(options["format"])
    server: Json | None = None
    failure: WherryError | None = None
    try:
        server = session.client.json("GET", "/version")
    except WherryError as error:
        failure = error
    client = client_version(session)
    if template is None:
        session.out(_client_text(client) + (_server_text(server) if server else ""))
    else:
        try:
            session.line(_render(template, {"Client": client, "Server": server}))
        except CommandFailed:  # it asks for the server, perhaps: that there is none comes first
            if failure is None:
                raise
            session.line("")
    if failure is not None:
        session.err(f"{failure}\n")
        return FAILED
    return 0


def client_version(session: Session) -> Json:
    """What this program is, with the API version it would speak to this daemon."""
    machine = os.uname().machine
    return {
        "Platform": {"Name": "wherry"},
        "Version": __version__,
        "ApiVersion": session.client.version,
        "DefaultAPIVersion": NEWEST_VERSION,
        "GitCommit": "",
        "GoVersion": "",
        "PythonVersion": sys.version.partition(" ")[0],
        "Os": "linux",
        "Arch": ARCHITECTURES.get(machine, machine),
        "BuildTime": "",
        "Context": session.endpoint.context,
    }


def _template(form: str) -> Any:
    if not form:
        return None
    from wherry.cli.gotemplate import ParseFailed, Template

    try:
        return Template("{{json .}}" if form == "json" else form)
    except ParseFailed as error:
        raise CommandFailed(f"template parsing error: {error}", TEMPLATE_FAILED) from None


def _render(template: Any, data: Json) -> str:
    from wherry.cli.gotemplate import ExecutionFailed

    try:
        return str(template.render(GoNames(data)))
    except ExecutionFailed as error:
        raise CommandFailed(str(error)) from None


def _client_text(client: Json) -> str:
    api = client["ApiVersion"]
    if api != client["DefaultAPIVersion"]:
        api += f" (downgraded from {client['DefaultAPIVersion']})"
    rows = {
        "Version": client["Version"],
        "API version": api,
        "Python version": client["PythonVersion"],
        "OS/Arch": f"{client['Os']}/{client['Arch']}",
        "Context": client["Context"],
    }
    return "Client:\n" + _rows(rows, 1)


def _server_text(server: Json) -> str:
    text = f"\nServer: {(server.get('Platform') or {}).get('Name') or 'unknown'}\n"
    components = server.get("Components") or [
        {"Name": "Engine", "Version": server.get("Version"), "Details": server}
    ]
    for component in components:
        details = component.get("Details") or {}
        rows = {"Version": component.get("Version") or ""}
        if component.get("Name") == "Engine":
            rows["API version"] = (
                f"{details.get('ApiVersion')} (minimum version {details.get('MinAPIVersion')})"
            )
            rows["Go version"] = details.get("GoVersion") or ""
            rows["Git commit"] = details.get("GitCommit") or ""
            rows["Built"] = details.get("BuildTime") or ""
            rows["OS/Arch"] = f"{details.get('Os')}/{details.get('Arch')}"
            rows["Experimental"] = details.get("Experimental") or "false"
        else:
            rows |= {name: str(details[name]) for name in sorted(details)}
        text += f" {component.get('Name')}:\n" + _rows({k: v for k, v in rows.items() if v}, 2)
    return text


def _rows(rows: dict[str, str], indent: int) -> str:
    return "".join(f"{' ' * indent}{name + ':':<{19 - indent + 1}}{value}\n" for name, value in rows.items())
