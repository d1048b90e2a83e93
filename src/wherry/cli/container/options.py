"""The flags of run and create."""

from __future__ import annotations

from wherry.cli.flags import CONTENT_TRUST_FLAG, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _lazily(name: str, module: str = "flag_values") -> Callable[[str], object]:
    """A parser from a module that loads when its flag is used."""

    def parse(text: str) -> object:
        import sys

        path = f"wherry.cli.container.{module}"
        __import__(path)
        result: object = getattr(sys.modules[path], name)(text)
        return result

    return parse


_ADDRESS = _lazily("parse_address")
_BPS, _IOPS = _lazily("parse_bps_device"), _lazily("parse_iops_device")
_LABEL, _ENV = _lazily("parse_label"), _lazily("parse_env")
_CGROUPNS = (
    "Cgroup namespace to use (host|private)\n"
    "'host':    Run the container in the host's cgroup namespace\n"
    "'private': Run the container in a cgroup namespace of its own\n"
    "'':        Use the cgroup namespace that the daemon is configured for (default)"
)

CREATE_FLAGS = (
    Flag("add-host", "list", "Add a custom host-to-IP mapping (host:ip)", parse=_lazily("parse_extra_host")),
    Flag("annotation", "map", "Add an annotation for the OCI runtime"),
    Flag("attach", "list", "Attach to STDIN, STDOUT or STDERR", short="a", parse=_lazily("parse_stream")),
    Flag("blkio-weight", "uint16", "Block IO weight, between 10 and 1000, or 0 to disable"),
    Flag(
        "blkio-weight-device",
        "list",
        "Block IO weight for a device",
        parse=_lazily("parse_weight_device"),
        shown="[]",
    ),
    Flag("cap-add", "list", "Add Linux capabilities"),
    Flag("cap-drop", "list", "Drop Linux capabilities"),
    Flag("cgroup-parent", "string", "Parent cgroup of the container"),
    Flag("cgroupns", "string", _CGROUPNS),
    Flag("cidfile", "string", "Write the container ID to the file"),
    Flag("cpu-count", "int", "CPU count (Windows only)"),
    Flag("cpu-percent", "int", "CPU percent (Windows only)"),
    Flag("cpu-period", "int", "Period of the CPU quota, in microseconds"),
    Flag("cpu-quota", "int", "CPU time in each period, in microseconds"),
    Flag("cpu-rt-period", "int", "Limit CPU real-time period in microseconds"),
    Flag("cpu-rt-runtime", "int", "Limit CPU real-time runtime in microseconds"),
    Flag("cpu-shares", "int", "CPU shares (relative weight)", short="c"),
    Flag("cpus", "decimal", "Number of CPUs"),
    Flag("cpuset-cpus", "string", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag("cpuset-mems", "string", "Memory nodes in which to allow execution (0-3, 0,1)"),
    Flag("device", "list", "Add a host device to the container"),
    Flag(
        "device-cgroup-rule",
        "list",
        "Add a rule to the cgroup's list of allowed devices",
        parse=_lazily("parse_device_rule"),
    ),
    Flag("device-read-bps", "list", "Limit bytes per second read from a device", parse=_BPS, shown="[]"),
    Flag("device-read-iops", "list", "Limit reads per second from a device", parse=_IOPS, shown="[]"),
    Flag("device-write-bps", "list", "Limit bytes per second written to a device", parse=_BPS, shown="[]"),
    Flag("device-write-iops", "list", "Limit writes per second to a device", parse=_IOPS, shown="[]"),
    CONTENT_TRUST_FLAG,
    Flag("dns", "list", "Set custom DNS servers", parse=_ADDRESS),
    Flag("dns-opt", "list", "Set DNS options", hidden=True, target="dns-option"),
    Flag("dns-option", "list", "Set DNS options"),
    Flag("dns-search", "list", "Set custom DNS search domains", parse=_lazily("parse_dns_search")),
    Flag("domainname", "string", "Container NIS domain name"),
    Flag("entrypoint", "string", "Replace the default ENTRYPOINT of the image"),
    Flag("env", "list", "Set environment variables", short="e", parse=_ENV),
    Flag("env-file", "list", "Read in a file of environment variables"),
    Flag("expose", "list", "Expose a port or a range of ports"),
    Flag(
        "gpus",
        "list",
        "GPU devices to add to the container ('all' to pass all GPUs)",
        parse=_lazily("parse_gpus"),
        type_name="gpu-request",
    ),
    Flag("group-add", "list", "Add additional groups to join"),
    Flag("health-cmd", "string", "Command that checks health"),
    Flag("health-interval", "duration", "Time between two checks (ms|s|m|h)"),
    Flag("health-retries", "int", "Consecutive failures that mean unhealthy"),
    Flag("health-start-interval", "duration", "Time between two checks in the start period (ms|s|m|h)"),
    Flag(
        "health-start-period",
        "duration",
        "Time the container has to initialize before failures count (ms|s|m|h)",
    ),
    Flag("health-timeout", "duration", "Maximum time of one check (ms|s|m|h)"),
    Flag("hostname", "string", "Container host name", short="h"),
    Flag("init", "bool", "Run an init that forwards signals and reaps processes"),
    Flag("interactive", "bool", "Keep STDIN open even if not attached", short="i"),
    Flag("io-maxbandwidth", "bytes", "Maximum IO bandwidth for the system drive (Windows only)"),
    Flag("io-maxiops", "uint", "Maximum IOps for the system drive (Windows only)"),
    Flag("ip", "string", "IPv4 address (e.g., 172.30.100.104)"),
    Flag("ip6", "string", "IPv6 address (e.g., 2001:db8::33)"),
    Flag("ipc", "string", "IPC mode to use"),
    Flag("isolation", "string", "Container isolation technology"),
    Flag("kernel-memory", "bytes", "Kernel memory limit", hidden=True),
    Flag("label", "list", "Set meta data on a container", short="l", parse=_LABEL),
    Flag("label-file", "list", "Read in a line delimited file of labels"),
    Flag("link", "list", "Add link to another container", parse=_lazily("parse_link")),
    Flag("link-local-ip", "list", "Link-local addresses of the container", parse=_ADDRESS),
    Flag("log-driver", "string", "Logging driver for the container"),
    Flag("log-opt", "list", "Log driver options"),
    Flag("mac-address", "string", "MAC address of the container (e.g., 92:d0:c6:0a:29:33)"),
    Flag("memory", "bytes", "Memory limit", short="m"),
    Flag("memory-reservation", "bytes", "Memory soft limit"),
    Flag("memory-swap", "swap", "Limit of memory plus swap: '-1' for unlimited swap"),
    Flag("memory-swappiness", "int", "Tune memory swappiness (0 to 100)", default=-1),
    Flag(
        "mount",
        "list",
        "Attach a filesystem mount to the container",
        parse=_lazily("parse_mount", "mount_flag"),
        type_name="mount",
    ),
    Flag("name", "string", "Assign a name to the container"),
    Flag(
        "net",
        "list",
        "Connect a container to a network",
        parse=_lazily("parse_network"),
        hidden=True,
        target="network",
    ),
    Flag("net-alias", "list", "Add an alias in the network", hidden=True, target="network-alias"),
    Flag(
        "network",
        "list",
        "Connect a container to a network",
        parse=_lazily("parse_network"),
        type_name="network",
    ),
    Flag("network-alias", "list", "Add an alias in the network for the container"),
    Flag("no-healthcheck", "bool", "Disable the HEALTHCHECK of the image"),
    Flag("oom-kill-disable", "bool", "Disable OOM Killer"),
    Flag("oom-score-adj", "int", "Tune the host's OOM preferences (-1000 to 1000)"),
    Flag("pid", "string", "PID namespace to use"),
    Flag("pids-limit", "int", "Limit the number of processes (-1 for unlimited)"),
    Flag("platform", "string", "Platform of the image, where it has several"),
    Flag("privileged", "bool", "Give extended privileges to this container"),
    Flag("publish", "list", "Publish a container's port(s) to the host", short="p"),
    Flag("publish-all", "bool", "Publish all exposed ports to random ports", short="P"),
    Flag("pull", "string", 'Pull image before running ("always", "missing", "never")', default="missing"),
    Flag("quiet", "bool", "Suppress the pull output", short="q"),
    Flag("read-only", "bool", "Mount the container's root filesystem as read only"),
    Flag("restart", "string", "Restart policy to apply when a container exits", default="no"),
    Flag("rm", "bool", "Remove the container and its anonymous volumes when it exits"),
    Flag("runtime", "string", "Runtime to use for this container"),
    Flag("security-opt", "list", "Security Options"),
    Flag("shm-size", "bytes", "Size of /dev/shm"),
    Flag("stop-signal", "string", "Signal to stop the container"),
    Flag("stop-timeout", "int", "Timeout (in seconds) to stop a container"),
    Flag("storage-opt", "list", "Storage driver options for the container"),
    Flag("sysctl", "map", "Sysctl options", parse=_lazily("parse_sysctl")),
    Flag("tmpfs", "list", "Mount a tmpfs directory"),
    Flag("tty", "bool", "Allocate a pseudo-TTY", short="t"),
    Flag("ulimit", "list", "Ulimit options", parse=_lazily("parse_ulimit"), type_name="ulimit", shown="[]"),
    Flag("user", "string", "Username or UID (format: <name|uid>[:<group|gid>])", short="u"),
    Flag("userns", "string", "User namespace to use"),
    Flag("uts", "string", "UTS namespace to use"),
    Flag("volume", "list", "Bind mount a volume", short="v"),
    Flag("volume-driver", "string", "Volume driver for the container"),
    Flag("volumes-from", "list", "Mount volumes from the specified container(s)"),
    Flag("workdir", "string", "Working directory inside the container", short="w"),
)
RUN_FLAGS = tuple(
    sorted(
        (
            *CREATE_FLAGS,
            Flag("detach", "bool", "Run container in background and print container ID", short="d"),
            Flag("detach-keys", "string", "Override the key sequence for detaching a container"),
            Flag("sig-proxy", "bool", "Proxy received signals to the process", default=True),
        ),
        key=lambda flag: flag.name,
    )
)
USAGE = "[OPTIONS] IMAGE [COMMAND] [ARG...]"
