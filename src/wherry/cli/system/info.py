"""`system info`"""

from __future__ import annotations

from wherry import __version__
from wherry.cli.commands import Command
from wherry.cli.failures import FAILED, TEMPLATE_FAILED, CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.records import INSPECT_FORMAT_TEXT
from wherry.cli.session import Session
from wherry.cli.units import bytes_size
from wherry.errors import WherryError
from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

COMMAND = Command("[OPTIONS]", (Flag("format", "string", INSPECT_FORMAT_TEXT, short="f"),), maximum=0)


def run(session: Session, options: Options, _arguments: list[str]) -> int:
    """Show what the daemon is and has."""
    client = {
        "Version": __version__,
        "Context": session.endpoint.context,
        "Debug": False,
        "Plugins": [],
        "Warnings": None,
    }
    info: Json = {}
    failure = ""
    try:
        info = session.client.json("GET", "/info")
    except WherryError as error:
        failure = str(error)
    form = options["format"]
    if form:
        if failure:
            info["ServerErrors"] = [failure]
        session.line(_formatted(form, info | {"ClientInfo": client}))
        return _warn(session, failure)
    session.out(_client_text(client) + "\nServer:\n" + (_server_text(info) + "\n" if info else ""))
    for warning in info.get("Warnings") or []:
        session.err(f"{warning}\n")
    return _warn(session, failure)


def _warn(session: Session, failure: str) -> int:
    if not failure:
        return 0
    session.err(f"{failure}\n")
    return FAILED


def _formatted(form: str, data: Json) -> str:
    if form == "json":
        return json.dumps(data)
    from wherry.cli.gotemplate import ExecutionFailed, ParseFailed, Template

    try:
        return Template(form).render(data, strict=True)
    except ParseFailed as error:
        raise CommandFailed(f"template parsing error: {error}", TEMPLATE_FAILED) from None
    except ExecutionFailed as error:
        raise CommandFailed(str(error)) from None


def _client_text(client: Json) -> str:
    return (
        f"Client:\n Version:    {client['Version']}\n Context:    {client['Context']}\n Debug Mode: false\n"
    )


def _server_text(info: Json) -> str:
    lines = [
        *_counts(info),
        *_drivers(info),
        *_runtimes(info),
        *_security(info),
        *_host(info),
        *_registries(info),
    ]
    return "".join(f" {line}\n" for line in lines)


def _counts(info: Json) -> list[str]:
    return [
        f"Containers: {info.get('Containers', 0)}",
        f" Running: {info.get('ContainersRunning', 0)}",
        f" Paused: {info.get('ContainersPaused', 0)}",
        f" Stopped: {info.get('ContainersStopped', 0)}",
        f"Images: {info.get('Images', 0)}",
        f"Server Version: {info.get('ServerVersion', '')}",
        f"Storage Driver: {info.get('Driver', '')}",
        *(f" {name}: {value}" for name, value in info.get("DriverStatus") or []),
    ]


def _drivers(info: Json) -> list[str]:
    plugins = info.get("Plugins") or {}
    lines = [
        f"Logging Driver: {info.get('LoggingDriver', '')}",
        f"Cgroup Driver: {info.get('CgroupDriver', '')}",
        f"Cgroup Version: {info.get('CgroupVersion', '')}",
        "Plugins:",
        f" Volume: {' '.join(plugins.get('Volume') or [])}",
        f" Network: {' '.join(plugins.get('Network') or [])}",
    ]
    if plugins.get("Authorization"):
        lines.append(f" Authorization: {' '.join(plugins['Authorization'])}")
    lines.append(f" Log: {' '.join(plugins.get('Log') or [])}")
    if info.get("CDISpecDirs"):
        lines += ["CDI spec directories:", *(f" {path}" for path in info["CDISpecDirs"])]
    lines.append(f"Swarm: {(info.get('Swarm') or {}).get('LocalNodeState') or 'inactive'}")
    return lines


def _runtimes(info: Json) -> list[str]:
    lines = []
    if info.get("Runtimes"):
        lines.append(f"Runtimes: {' '.join(sorted(info['Runtimes']))}")
        lines.append(f"Default Runtime: {info.get('DefaultRuntime', '')}")
    if info.get("OSType") == "linux":
        lines.append(f"Init Binary: {info.get('InitBinary', '')}")
        for name, member in (
            ("containerd", "ContainerdCommit"),
            ("runc", "RuncCommit"),
            ("init", "InitCommit"),
        ):
            lines.append(f"{name} version: {(info.get(member) or {}).get('ID', '')}")
    return lines


def _security(info: Json) -> list[str]:
    """Each option is `name=…` and further `key=value`s, joined by commas."""
    if not info.get("SecurityOptions"):
        return []
    lines = ["Security Options:"]
    for option in info["SecurityOptions"]:
        fields = dict(field.partition("=")[::2] for field in option.split(","))
        lines.append(f" {fields.pop('name', option)}")
        lines += [f"  {name.capitalize()}: {value}" for name, value in fields.items()]
    return lines


def _host(info: Json) -> list[str]:
    lines = [
        f"Kernel Version: {info.get('KernelVersion', '')}",
        f"Operating System: {info.get('OperatingSystem', '')}",
        f"OSType: {info.get('OSType', '')}",
        f"Architecture: {info.get('Architecture', '')}",
        f"CPUs: {info.get('NCPU', 0)}",
        f"Total Memory: {bytes_size(info.get('MemTotal') or 0)}",
        f"Name: {info.get('Name', '')}",
        f"ID: {info.get('ID', '')}",
        f"Docker Root Dir: {info.get('DockerRootDir', '')}",
        f"Debug Mode: {_bool(info.get('Debug'))}",
    ]
    for title, member in (
        ("HTTP Proxy", "HttpProxy"),
        ("HTTPS Proxy", "HttpsProxy"),
        ("No Proxy", "NoProxy"),
    ):
        if info.get(member):
            lines.append(f"{title}: {info[member]}")
    if info.get("Labels"):
        lines += ["Labels:", *(f" {label}" for label in info["Labels"])]
    lines.append(f"Experimental: {_bool(info.get('ExperimentalBuild'))}")
    return lines


def _registries(info: Json) -> list[str]:
    registries = info.get("RegistryConfig") or {}
    lines = []
    insecure = [
        name
        for name, index in (registries.get("IndexConfigs") or {}).items()
        if not index.get("Secure", True)
    ]
    insecure += registries.get("InsecureRegistryCIDRs") or []
    if insecure:
        lines += ["Insecure Registries:", *(f" {name}" for name in insecure)]
    if registries.get("Mirrors"):
        lines += ["Registry Mirrors:", *(f" {mirror}" for mirror in registries["Mirrors"])]
    lines.append(f"Live Restore Enabled: {_bool(info.get('LiveRestoreEnabled'))}")
    firewall = info.get("FirewallBackend") or {}
    if firewall.get("Driver"):
        lines.append(f"Firewall Backend: {firewall['Driver']}")
    return lines


def _bool(value: object) -> str:
    return "true" if value else "false"
