"""From the flags of run and create to the body of /containers/create.

Pure but for the files that flags name.  Members that are empty by default stay away: the engine's
defaults are its own.
"""

from __future__ import annotations

import os

from wherry.cli.container.endpoints import is_of_container, network_endpoints
from wherry.cli.container.environment import read_environment, read_labels
from wherry.cli.failures import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.flags import Options

    Json = dict[str, Any]

# HostConfig member -> flag, for those that are passed on as they are when set.
_HOST_PLAIN = {
    "BlkioDeviceReadBps": "device-read-bps",
    "BlkioDeviceReadIOps": "device-read-iops",
    "BlkioDeviceWriteBps": "device-write-bps",
    "BlkioDeviceWriteIOps": "device-write-iops",
    "BlkioWeight": "blkio-weight",
    "BlkioWeightDevice": "blkio-weight-device",
    "CgroupParent": "cgroup-parent",
    "CgroupnsMode": "cgroupns",
    "ContainerIDFile": "cidfile",
    "CpuCount": "cpu-count",
    "CpuPercent": "cpu-percent",
    "CpuPeriod": "cpu-period",
    "CpuQuota": "cpu-quota",
    "CpuRealtimePeriod": "cpu-rt-period",
    "CpuRealtimeRuntime": "cpu-rt-runtime",
    "CpuShares": "cpu-shares",
    "CpusetCpus": "cpuset-cpus",
    "CpusetMems": "cpuset-mems",
    "DeviceCgroupRules": "device-cgroup-rule",
    "Dns": "dns",
    "DnsOptions": "dns-option",
    "DnsSearch": "dns-search",
    "ExtraHosts": "add-host",
    "GroupAdd": "group-add",
    "IOMaximumBandwidth": "io-maxbandwidth",
    "IOMaximumIOps": "io-maxiops",
    "IpcMode": "ipc",
    "Isolation": "isolation",
    "Links": "link",
    "Memory": "memory",
    "MemoryReservation": "memory-reservation",
    "MemorySwap": "memory-swap",
    "Mounts": "mount",
    "NanoCpus": "cpus",
    "OomScoreAdj": "oom-score-adj",
    "PidMode": "pid",
    "Privileged": "privileged",
    "PublishAllPorts": "publish-all",
    "ReadonlyRootfs": "read-only",
    "Runtime": "runtime",
    "ShmSize": "shm-size",
    "UTSMode": "uts",
    "UsernsMode": "userns",
    "VolumeDriver": "volume-driver",
    "VolumesFrom": "volumes-from",
    "AutoRemove": "rm",
}
_CONFIG_PLAIN = {
    "Domainname": "domainname",
    "Hostname": "hostname",
    "OpenStdin": "interactive",
    "StopSignal": "stop-signal",
    "Tty": "tty",
    "User": "user",
    "WorkingDir": "workdir",
}


def container_body(options: Options, arguments: list[str]) -> Json:
    """The body for an image and its command.

    Raises:
        CommandFailed: options that contradict each other or do not parse, in Docker's words.
    """
    config = _config(options, arguments)
    host = _host_config(options, config)
    body: Json = {**config, "HostConfig": host}
    endpoints = network_endpoints(options, host)
    if endpoints:
        body["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    if options["rm"] and host["RestartPolicy"]["Name"] not in ("", "no"):
        raise CommandFailed("conflicting options: cannot specify both --restart and --rm")
    return body


def _config(options: Options, arguments: list[str]) -> Json:
    image, *command = arguments
    if options["mac-address"]:
        from wherry.cli.container.flag_values import parse_mac_address

        _valid(parse_mac_address, options["mac-address"])
    streams = options["attach"]
    config: Json = {name: options[flag] for name, flag in _CONFIG_PLAIN.items() if options[flag]}
    config["Image"] = image
    config["AttachStdin"] = options["interactive"] or "stdin" in streams
    config["AttachStdout"] = not streams or "stdout" in streams
    config["AttachStderr"] = not streams or "stderr" in streams
    config["StdinOnce"] = bool(options["interactive"] and config["AttachStdin"])
    if not 0 <= options["memory-swappiness"] <= 100 and options["memory-swappiness"] != -1:
        value = options["memory-swappiness"]
        raise CommandFailed(f"invalid value: {value}. Valid memory swappiness range is 0-100")
    if command:
        config["Cmd"] = command
    if "entrypoint" in options.given:
        config["Entrypoint"] = [options["entrypoint"]]
    config["Env"] = read_environment(options["env-file"], options["env"])
    labels = read_labels(options["label-file"], options["label"])
    config["Labels"] = {name: value for name, _, value in (label.partition("=") for label in labels)}
    if "stop-timeout" in options.given:
        config["StopTimeout"] = options["stop-timeout"]
    health = _health(options)
    if health:
        config["Healthcheck"] = health
    return config


def _host_config(options: Options, config: Json) -> Json:
    host: Json = {name: options[flag] for name, flag in _HOST_PLAIN.items() if options[flag]}
    host["Binds"], config["Volumes"] = _volumes(options["volume"])
    if options["publish"] or options["expose"]:
        from wherry.cli.container.ports_flag import port_options

        config["ExposedPorts"], host["PortBindings"] = port_options(options["publish"], options["expose"])
    _devices(options, host)
    _modes(options)
    host["RestartPolicy"] = restart_policy(options["restart"])
    host["LogConfig"] = _logging(options)
    _security(options["security-opt"], host)
    if options["storage-opt"]:
        host["StorageOpt"] = _storage(options["storage-opt"])
    for member, flag in (("Annotations", "annotation"), ("Sysctls", "sysctl")):
        if options[flag]:
            host[member] = dict(options[flag])
    for member, flag in (("CapAdd", "cap-add"), ("CapDrop", "cap-drop")):
        if options[flag]:
            host[member] = sorted({_capability(name) for name in options[flag]})
    if options["ulimit"]:
        host["Ulimits"] = sorted(options["ulimit"], key=lambda limit: str(limit["Name"]))
    if options["tmpfs"]:
        host["Tmpfs"] = {path: rest for path, _, rest in (spec.partition(":") for spec in options["tmpfs"])}
    host["NetworkMode"] = options["network"][0]["Target"] if options["network"] else "default"
    if "init" in options.given:
        host["Init"] = options["init"]
    if options["memory-swappiness"] != -1:
        host["MemorySwappiness"] = options["memory-swappiness"]
    if options["oom-kill-disable"]:
        host["OomKillDisable"] = True
    if options["pids-limit"]:
        host["PidsLimit"] = options["pids-limit"]
    return host


# Volumes, devices


def _volumes(specs: list[str]) -> tuple[list[str], dict[str, Json]]:
    """Binds, and anonymous volumes by their path."""
    binds: list[str] = []
    anonymous: dict[str, Json] = {}
    for spec in specs:
        if not spec:
            raise CommandFailed("invalid empty volume spec")
        source, colon, rest = spec.partition(":")
        if not colon:
            anonymous[spec] = {}
            continue
        if not source or not rest:
            raise CommandFailed(f"invalid spec: {spec}: empty section between colons")
        if source.startswith("."):
            source = os.path.abspath(source)
        binds.append(f"{source}:{rest}")
    return binds, anonymous


def _devices(options: Options, host: Json) -> None:
    requests = list(options["gpus"])
    named = [device for device in options["device"] if _is_cdi_name(device)]
    if named:
        requests.append({"Driver": "cdi", "DeviceIDs": named})
    if requests:
        host["DeviceRequests"] = requests
    mappings = [_device(device) for device in options["device"] if device not in named]
    if mappings:
        host["Devices"] = mappings


def _is_cdi_name(device: str) -> bool:
    vendor, slash, rest = device.partition("/")
    kind, equals, name = rest.partition("=")
    return bool(vendor and slash and kind and equals and name)


def _device(text: str) -> Json:
    """`host[:container[:rwm]]`"""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise CommandFailed(f"bad format for path: {text}")
    source, target, access = parts[0], parts[0], "rwm"
    if len(parts) == 3:
        target, access = parts[1], parts[2]
        if not _is_access(access):
            raise CommandFailed(f"bad mode specified: {access}")
    elif len(parts) == 2:
        target, access = (source, parts[1]) if _is_access(parts[1]) else (parts[1], access)
    if not target.startswith("/"):
        raise CommandFailed(f"{target} is not an absolute path")
    return {"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": access}


def _capability(name: str) -> str:
    name = name.strip().upper()
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"


def _is_access(text: str) -> bool:
    return 0 < len(text) <= 3 and set(text) <= set("rwm") and len(set(text)) == len(text)


# Modes and policies


def _modes(options: Options) -> None:
    checks = (
        ("pid", "PID", ("", "host")),
        ("uts", "UTS", ("", "host")),
        ("userns", "USER", ("", "host")),
        ("cgroupns", "CGROUP", ("", "host", "private")),
    )
    for flag, shown, known in checks:
        mode = options[flag]
        if mode not in known and not (flag == "pid" and is_of_container(mode)):
            raise CommandFailed(f"--{flag}: invalid {shown} mode")


def restart_policy(text: str) -> Json:
    """`no`, `always`, `unless-stopped`, `on-failure[:N]`; the engine checks the name.

    Raises:
        CommandFailed: another form.
    """
    name, colon, count = text.partition(":")
    if colon and not name:
        raise CommandFailed("invalid restart policy format: no policy provided before colon")
    retries = 0
    if colon:
        try:
            retries = int(count)
        except ValueError:
            raise CommandFailed(
                "invalid restart policy format: maximum retry count must be an integer"
            ) from None
    return {"Name": name, "MaximumRetryCount": retries}


def _logging(options: Options) -> Json:
    if options["log-driver"] == "none" and options["log-opt"]:
        raise CommandFailed("invalid logging opts for driver none")
    pairs = (option.partition("=") for option in options["log-opt"])
    return {"Type": options["log-driver"], "Config": {name: value for name, _, value in pairs}}


def _storage(texts: list[str]) -> dict[str, str]:
    result = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise CommandFailed("invalid storage option")
        result[name] = value
    return result


def _security(texts: list[str], host: Json) -> None:
    """SecurityOpt; a seccomp profile is read here, for the engine may not see our files."""
    result = []
    for text in texts:
        name, separator, value = text.partition("=" if "=" in text else ":")
        if text == "systempaths=unconfined":
            host["MaskedPaths"], host["ReadonlyPaths"] = [], []
            continue
        if not separator and name != "no-new-privileges":
            raise CommandFailed(f'Invalid --security-opt: "{text}"')
        if name == "seccomp" and value not in ("unconfined", "builtin"):
            text = f"seccomp={_profile(value)}"
        result.append(text)
    if result:
        host["SecurityOpt"] = result


def _profile(path: str) -> str:
    from wherry.files import json

    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandFailed(f"opening seccomp profile ({path}) failed: open {path}: {reason}") from None
    try:
        return json.dumps(json.loads(data))
    except ValueError as error:
        raise CommandFailed(f"compacting json for seccomp profile ({path}) failed: {error}") from None


def _health(options: Options) -> Json:
    numbers = {
        "Interval": "health-interval",
        "Timeout": "health-timeout",
        "StartPeriod": "health-start-period",
        "StartInterval": "health-start-interval",
        "Retries": "health-retries",
    }
    health = {name: options[flag] for name, flag in numbers.items() if options[flag]}
    if options["no-healthcheck"]:
        if health or options["health-cmd"]:
            raise CommandFailed("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    for name, value in health.items():
        if value < 0:
            raise CommandFailed(f"--{numbers[name]} cannot be negative")
    if options["health-cmd"]:
        health["Test"] = ["CMD-SHELL", options["health-cmd"]]
    return health


def _valid(check: Any, value: str) -> None:
    try:
        check(value)
    except ValueError as error:
        raise CommandFailed(str(error)) from None
