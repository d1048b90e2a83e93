"""From the flags of run to the body of /containers/create.

tests/conformance/cli compares more than a hundred command lines with Docker's CLI; here are the
rules that must hold without it.
"""

from pathlib import Path
from typing import Any

import pytest

from wherry.cli.container.body import container_body
from wherry.cli.container.creation import proxy_variables
from wherry.cli.container.options import CREATE_FLAGS, RUN_FLAGS
from wherry.cli.failures import CommandFailed, FlagError
from wherry.cli.flags import parse


def body_of(*words: str) -> dict[str, Any]:
    options, arguments = parse(CREATE_FLAGS, [*words, "image"], interspersed=False)
    return container_body(options, arguments)


@pytest.mark.parametrize(
    ("words", "member", "value"),
    [
        ([], "AttachStdout", True),
        (["-a", "stdin"], "AttachStdout", False),
        (["-i"], "StdinOnce", True),
        (["--entrypoint", "/x"], "Entrypoint", ["/x"]),
        (["--entrypoint="], "Entrypoint", [""]),
        (["--stop-timeout", "0"], "StopTimeout", 0),
        (["-l", "a=b=c", "-l", "d"], "Labels", {"a": "b=c", "d": ""}),
        (["-v", "/only"], "Volumes", {"/only": {}}),
        (["--expose", "80", "--expose", "5-6/udp"], "ExposedPorts", {"80/tcp": {}, "5/udp": {}, "6/udp": {}}),
        (
            ["--health-cmd", "x", "--health-interval", "2s"],
            "Healthcheck",
            {"Test": ["CMD-SHELL", "x"], "Interval": 2_000_000_000},
        ),
        (["--no-healthcheck"], "Healthcheck", {"Test": ["NONE"]}),
    ],
)
def test_the_configuration(words: list[str], member: str, value: object) -> None:
    assert body_of(*words)[member] == value


@pytest.mark.parametrize(
    ("words", "member", "value"),
    [
        (["-v", "/a:/b:ro", "-v", "name:/c"], "Binds", ["/a:/b:ro", "name:/c"]),
        (["-p", "8080:80"], "PortBindings", {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}),
        (["-p", "80"], "PortBindings", {"80/tcp": [{"HostIp": "", "HostPort": ""}]}),
        (["-p", "[::1]:1:2/udp"], "PortBindings", {"2/udp": [{"HostIp": "::1", "HostPort": "1"}]}),
        (
            ["-p", "1-2:3-4"],
            "PortBindings",
            {"3/tcp": [{"HostIp": "", "HostPort": "1"}], "4/tcp": [{"HostIp": "", "HostPort": "2"}]},
        ),
        (["-p", "5-9:3"], "PortBindings", {"3/tcp": [{"HostIp": "", "HostPort": "5-9"}]}),
        (["--restart", "on-failure:3"], "RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 3}),
        (["-m", "1.5g", "--memory-swap=-1"], "MemorySwap", -1),
        (["--cpus", "1.5"], "NanoCpus", 1_500_000_000),
        (
            ["--cap-add", "net_admin", "--cap-add", "CAP_KILL", "--cap-add", "ALL"],
            "CapAdd",
            ["ALL", "CAP_KILL", "CAP_NET_ADMIN"],
        ),
        (["--ulimit", "nofile=1:2"], "Ulimits", [{"Name": "nofile", "Soft": 1, "Hard": 2}]),
        (
            ["--device", "/dev/a:rw"],
            "Devices",
            [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/a", "CgroupPermissions": "rw"}],
        ),
        (["--device", "v.com/c=n"], "DeviceRequests", [{"Driver": "cdi", "DeviceIDs": ["v.com/c=n"]}]),
        (["--tmpfs", "/t:size=1m"], "Tmpfs", {"/t": "size=1m"}),
        (["--security-opt", "systempaths=unconfined"], "MaskedPaths", []),
        (["--network", "none"], "NetworkMode", "none"),
        (["--init=false"], "Init", False),
        (["--pids-limit", "-1"], "PidsLimit", -1),
        (["--log-opt", "max-size=1m"], "LogConfig", {"Type": "", "Config": {"max-size": "1m"}}),
        (
            ["--mount", "type=bind,src=/a,dst=/b,ro"],
            "Mounts",
            [{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}],
        ),
    ],
)
def test_the_host_configuration(words: list[str], member: str, value: object) -> None:
    assert body_of(*words)["HostConfig"][member] == value


def test_a_file_of_variables_has_comments_and_takes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTER", "from outside")
    monkeypatch.delenv("ABSENT", raising=False)
    (tmp_path / "env").write_bytes(b"\xef\xbb\xbf# no\n\n  A=1 2 \r\nOUTER\nABSENT\nQ='q'\n")

    body = body_of("--env-file", str(tmp_path / "env"), "-e", "OUTER", "-e", "ABSENT", "-e", "B=")

    assert body["Env"] == ["A=1 2 ", "OUTER=from outside", "Q='q'", "OUTER=from outside", "ABSENT", "B="]


@pytest.mark.parametrize("line", ["=x", "a b=c", "\xff"])
def test_a_line_that_is_no_variable_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "env").write_bytes(line.encode("latin-1"))

    with pytest.raises(CommandFailed, match="env file"):
        body_of("--env-file", str(tmp_path / "env"))


def test_a_seccomp_profile_travels_in_the_body(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{ "defaultAction" :\n "SCMP_ACT_ALLOW" }')

    options = body_of("--security-opt", f"seccomp={tmp_path}/p.json")["HostConfig"]["SecurityOpt"]

    assert options == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']


def test_settings_of_an_endpoint_belong_to_its_network() -> None:
    words = [
        "--network",
        "name=a,alias=x,ip=10.0.0.9",
        "--network",
        "b",
        "--mac-address",
        "92:d0:c6:0a:29:33",
    ]

    endpoints = body_of(*words)["NetworkingConfig"]["EndpointsConfig"]

    assert endpoints == {
        "a": {"IPAMConfig": {"IPv4Address": "10.0.0.9"}, "Aliases": ["x"], "MacAddress": "92:d0:c6:0a:29:33"},
        "b": {},
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--mount", "type=bind,dst=/x,volume-nocopy"],
            "cannot mix 'volume-*' options with mount type 'bind'",
        ),
        (["--mount", "type=bind,src=/a"], "target is required"),
        (["--mount", "x"], "invalid field 'x' must be a key=value pair"),
        (["--mount", "k=v,dst=/x"], "unknown option 'k' in 'k=v'"),
        (["--mount", "dst=/x,ro=maybe"], "invalid value for ro: maybe"),
        (["--ulimit", "nofile=2:1"], "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
        (["--add-host", "x"], 'bad format for add-host: "x"'),
        (["--dns", "x"], "IP address is not correctly formatted: x"),
        (["--sysctl", "kernel.hostname=x"], "sysctl 'kernel.hostname=x' is not allowed"),
        (["--device-cgroup-rule", "x"], "invalid device cgroup format 'x'"),
        (["--gpus", "x=y"], "unexpected key 'x' in 'x=y'"),
        (["--disable-content-trust=false"], "content trust is not supported"),
    ],
)
def test_flags_that_make_no_sense_are_refused_while_they_are_parsed(words: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        body_of(*words)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "x"], "invalid containerPort: x"),
        (["-p", "1-3:1-2"], "invalid ranges specified for container and host Ports: 1-2 and 1-3"),
        (["-p", "1/xyz"], "invalid proto: xyz"),
        (["-p", "x:1:2"], "invalid IP address: x"),
        (["-p", "1:70000"], "invalid containerPort: 70000"),
        (["-v", ":/x"], "invalid spec: :/x: empty section between colons"),
        (["--pid", "x"], "--pid: invalid PID mode"),
        (["--security-opt", "x"], 'Invalid --security-opt: "x"'),
        (
            ["--security-opt", "seccomp=/nope"],
            "opening seccomp profile (/nope) failed: open /nope: no such file or directory",
        ),
        (
            ["--network", "a", "--network", "none"],
            "cannot attach both user-defined and non-user-defined network-modes",
        ),
        (
            ["--network", "bridge", "--network-alias", "x"],
            "network-scoped aliases are only supported for user-defined networks",
        ),
        (["--memory-swappiness", "200"], "invalid value: 200. Valid memory swappiness range is 0-100"),
        (["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-* options"),
        (["--health-interval=-1s"], "--health-interval cannot be negative"),
        (["--rm", "--restart", "always"], "conflicting options: cannot specify both --restart and --rm"),
    ],
)
def test_options_that_contradict_each_other_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        body_of(*words)
    assert message in str(caught.value)


def test_the_image_and_its_command_keep_their_dashes() -> None:
    options, arguments = parse(RUN_FLAGS, ["--rm", "image", "sh", "-c", "--rm"], interspersed=False)

    body = container_body(options, arguments)

    assert (body["Image"], body["Cmd"]) == ("image", ["sh", "-c", "--rm"])


def test_proxies_of_the_daemons_own_entry_come_in_both_cases() -> None:
    proxies = {"default": {"httpProxy": "http://d"}, "unix:///x": {"httpProxy": "http://x", "noProxy": "a,b"}}

    assert proxy_variables(proxies, "unix:///x") == {
        "HTTP_PROXY": "http://x",
        "http_proxy": "http://x",
        "NO_PROXY": "a,b",
        "no_proxy": "a,b",
    }
    assert proxy_variables(proxies, "unix:///y")["HTTP_PROXY"] == "http://d"
    assert proxy_variables({}, "unix:///y") == {}
