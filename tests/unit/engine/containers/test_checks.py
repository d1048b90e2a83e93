"""What a container may not ask for, in Docker's words."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.engine.test_spec import host

from wherry.api.types import (
    ContainerConfig,
    DeviceMapping,
    EndpointSettings,
    HealthConfig,
    HostConfig,
    LogConfig,
    PortBinding,
    RestartPolicy,
    Ulimit,
    convert,
)
from wherry.engine.containers.checks import check_container, parse_log_options
from wherry.engine.containers.endpoints import check_endpoints
from wherry.errors import InvalidArgument, WherryError

MB = 1 << 20
UNKNOWN_POLICY = (
    "invalid restart policy: unknown policy 'x'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
)


def check(config: ContainerConfig | None = None, **host_config: Any) -> list[str]:
    return check_container(config or ContainerConfig(), HostConfig(**host_config), host())


STATIC_ADDRESS = "user-specified IP address is supported on user-defined networks only"


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("bridge", {"IPAMConfig": {"IPv4Address": "10.0.0.9"}}, STATIC_ADDRESS),
        ("none", {"IPAMConfig": {"IPv6Address": "fd00::9"}}, STATIC_ADDRESS),
        ("bridge", {"IPAMConfig": {"IPv4Address": "x"}}, f"{STATIC_ADDRESS}\ninvalid IPv4 address: x"),
        ("own", {"IPAMConfig": {"IPv4Address": "fd00::9"}}, "invalid IPv4 address: fd00::9"),
        ("own", {"IPAMConfig": {"IPv6Address": "10.0.0.9"}}, "invalid IPv6 address: 10.0.0.9"),
        ("own", {"IPAMConfig": {"LinkLocalIPs": ["x"]}}, "invalid link-local IP address: x"),
        ("host", {"Aliases": ["a"]},
         "network-scoped alias is supported only for containers in user defined networks"),
    ],
)  # fmt: skip
def test_what_a_network_cannot_give_is_refused(name: str, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument) as failure:
        check_endpoints(ContainerConfig(), {name: convert(settings, EndpointSettings)})

    assert str(failure.value) == f"invalid endpoint settings:\n{text}"


@pytest.mark.parametrize("address", ["zz", "02:42:ac:11:00", "02-42:ac:11:00:09", "02:42:ac:11:00:09\n"])
def test_what_is_no_mac_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid MAC address"):
        check_endpoints(ContainerConfig(), {"bridge": EndpointSettings(mac_address=address)})
    with pytest.raises(InvalidArgument, match="invalid MAC address"):
        check_endpoints(ContainerConfig(mac_address=address), {})


def test_what_is_not_given_yet_is_warned_of() -> None:
    mac = EndpointSettings(mac_address="02:42:ac:11:00:09")

    assert check_endpoints(ContainerConfig(), {"bridge": EndpointSettings()}) == []
    assert check_endpoints(ContainerConfig(), {"bridge": mac})[0].startswith("MAC and link-local addresses")
    assert check(ContainerConfig(healthcheck=HealthConfig(test=["NONE"]))) == []
    assert check(ContainerConfig(healthcheck=HealthConfig(retries=3))) == []
    assert check(ContainerConfig(healthcheck=HealthConfig(test=["CMD", "true"]))) == [
        "Health checks are not run yet: the container will have no health status"
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"memory": 5 * MB}, "Minimum memory limit allowed is 6MB"),
        ({"memory": 9 * MB, "memory_swap": 8 * MB},
         "Minimum memoryswap limit should be larger than memory limit, see usage"),
        ({"memory_swap": 8 * MB},
         "You should always set the Memory limit when using Memoryswap limit, see usage"),
        ({"memory_reservation": MB}, "Minimum memory reservation allowed is 6MB"),
        ({"memory": 7 * MB, "memory_reservation": 8 * MB},
         "Minimum memory limit can not be less than memory reservation limit, see usage"),
        ({"nano_cpus": 5_000_000_000},
         "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"),
        ({"nano_cpus": 1}, "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"),
        ({"nano_cpus": 10**9, "cpu_period": 1000},
         "Conflicting options: Nano CPUs and CPU Period cannot both be set"),
        ({"nano_cpus": 10**9, "cpu_quota": 1000},
         "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
        ({"cpu_period": 10},
         "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"),
        ({"cpu_quota": 10}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        ({"cpuset_cpus": "2-9"}, "Requested CPUs are not available - requested 2-9, available: 0-3"),
        ({"cpuset_mems": "1"}, "Requested memory nodes are not available - requested 1, available: 0"),
        ({"blkio_weight": 9}, "Range of blkio weight is from 10 to 1000"),
        ({"oom_score_adj": 1001}, "Invalid value 1001, range for oom score adj is [-1000, 1000]"),
        ({"shm_size": -1}, "SHM size can not be less than 0"),
        ({"ipc_mode": "x"}, "invalid IPC mode: x"),
        ({"pid_mode": "container:"}, "invalid PID mode: container:"),
        ({"uts_mode": "x"}, "invalid UTS mode: x"),
        ({"cgroupns_mode": "x"}, "invalid cgroup namespace mode: x"),
        ({"cap_add": ["x"]}, 'invalid CapAdd: unknown capability: "CAP_X"'),
        ({"cap_drop": ["x"]}, 'invalid CapDrop: unknown capability: "CAP_X"'),
        ({"security_opt": ["x"]}, 'invalid --security-opt 1: "x"'),
        ({"security_opt": ["x=y"]}, 'invalid --security-opt 2: "x=y"'),
        ({"security_opt": ["no-new-privileges=maybe"]},
         'invalid --security-opt 2: "no-new-privileges=maybe"'),
        ({"restart_policy": RestartPolicy(name="x")}, UNKNOWN_POLICY),
        ({"restart_policy": RestartPolicy(name="always", maximum_retry_count=1)},
         "invalid restart policy: maximum retry count can only be used with 'on-failure'"),
        ({"restart_policy": RestartPolicy(name="always"), "auto_remove": True},
         "can't create 'AutoRemove' container with restart policy"),
        ({"device_cgroup_rules": ["c 1"]}, "invalid device cgroup rule format: 'c 1'"),
        ({"devices": [DeviceMapping(path_on_host="/dev/x", cgroup_permissions="q")]},
         "invalid device mode: q"),
        ({"ulimits": [Ulimit(name="x")]}, "invalid ulimit type: x"),
        ({"port_bindings": {"x": None}}, 'invalid port specification: "x"'),
        ({"port_bindings": {"80/tcp": [PortBinding(host_port="http")]}},
         'invalid port specification: "http"'),
        ({"log_config": LogConfig(type="x")}, "logger: no log driver named 'x' is registered"),
        ({"log_config": LogConfig(config={"x": "y"})}, "unknown log opt 'x' for json-file log driver"),
        ({"runtime": "x"}, "unknown or invalid runtime name: x"),
    ],
)  # fmt: skip
def test_host_configurations(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument) as failure:
        check(**options)

    assert str(failure.value) == text


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (ContainerConfig(working_dir="x"),
         "the working directory 'x' is invalid, it needs to be an absolute path"),
        (ContainerConfig(env=["=x"]), "invalid environment variable: =x"),
        (ContainerConfig(stop_signal="x"), "invalid signal: x"),
        (ContainerConfig(exposed_ports={"99999/tcp": {}}), 'invalid port specification: "99999/tcp"'),
        (ContainerConfig(healthcheck=HealthConfig(interval=1)),
         "Interval in Healthcheck cannot be less than 1ms"),
        (ContainerConfig(healthcheck=HealthConfig(start_period=1)),
         "StartPeriod in Healthcheck cannot be less than 1ms"),
        (ContainerConfig(healthcheck=HealthConfig(retries=-1)), "Retries in Healthcheck cannot be negative"),
    ],
)  # fmt: skip
def test_configurations(config: ContainerConfig, text: str) -> None:
    with pytest.raises(InvalidArgument) as failure:
        check(config)

    assert str(failure.value) == text


class TestLines:
    """Nothing may add a line or a field to the files the engine writes."""

    @pytest.mark.parametrize("name", ["a\nb", "a b", "a\0", "x" * 65])
    def test_host_names(self, name: str) -> None:
        with pytest.raises(InvalidArgument):
            check(ContainerConfig(hostname=name))
        with pytest.raises(InvalidArgument):
            check(ContainerConfig(domainname=name))

    @pytest.mark.parametrize("entry", ["a", "a:b", "a\n1.2.3.4 b:1.2.3.4", "a:1.2.3.4\nx", ":1.2.3.4"])
    def test_extra_hosts(self, entry: str) -> None:
        with pytest.raises(InvalidArgument):
            check(extra_hosts=[entry])

    def test_name_servers(self) -> None:
        with pytest.raises(InvalidArgument):
            check(dns=["1.2.3.4\nnameserver 6.6.6.6"])
        with pytest.raises(InvalidArgument):
            check(dns_search=["a\nb"])


class TestConfinement:
    @pytest.mark.parametrize("profile", ["", "{}", "x", '{"defaultAction": "SCMP_ACT_NOPE"}', "[]"])
    def test_a_seccomp_profile_that_would_confine_nothing(self, profile: str) -> None:
        with pytest.raises(InvalidArgument):
            check(security_opt=[f"seccomp={profile}"])

    @pytest.mark.parametrize("option", ["apparmor=docker-default", "label=type:x"])
    def test_what_this_host_cannot_apply_is_refused(self, option: str) -> None:
        with pytest.raises(InvalidArgument):
            check(security_opt=[option])

    @pytest.mark.parametrize(
        "name", ["kernel.core_pattern", "vm.swappiness", "net/ipv4/x", "net..x", "net.a=b", "net.\n"]
    )
    def test_sysctls_of_the_host(self, name: str) -> None:
        with pytest.raises(InvalidArgument):
            check(sysctls={name: "1"})

    def test_sysctls_of_a_shared_namespace(self) -> None:
        with pytest.raises(InvalidArgument):
            check(sysctls={"net.ipv4.ip_forward": "1"}, network_mode="host")
        assert (
            check(sysctls={"net.ipv4.ip_forward": "1", "kernel.sem": "1 2 3 4"}, network_mode="bridge") == []
        )

    @pytest.mark.parametrize("options", [{"links": ["a"]}, {"storage_opt": {"size": "1g"}}])
    def test_what_this_engine_has_not(self, options: dict[str, Any]) -> None:
        with pytest.raises(WherryError):
            check(**options)


def test_published_ports_are_not_claimed() -> None:
    published = {"80/tcp": [PortBinding(host_port="8080")]}

    assert check(port_bindings=published, network_mode="bridge")[0].startswith(
        "Published ports are not available"
    )
    assert check(port_bindings=published, network_mode="host") == [
        "Published ports are discarded when using host network mode"
    ]


def test_what_the_kernel_cannot_do_is_a_warning() -> None:
    config, memory = ContainerConfig(), HostConfig(memory=64 * MB)
    no_killer = HostConfig(oom_kill_disable=True, memory_swappiness=10)

    assert "Memory limited without swap." in check_container(config, memory, host(swap_limit=False))[0]
    assert check_container(config, memory, host()) == []
    assert [text.split()[0] for text in check_container(config, no_killer, host())] == [
        "OomKillDisable",
        "Memory",
    ]
    assert check_container(config, no_killer, host(cgroup_version=1))[0].startswith("OOM killer is disabled")


def test_log_options() -> None:
    assert parse_log_options({"max-size": "10m", "max-file": "3"}) == (10 << 20, 3)
    assert parse_log_options({}) == (0, 1)
    with pytest.raises(InvalidArgument):
        parse_log_options({"max-size": "x"})
    with pytest.raises(InvalidArgument):
        parse_log_options({"max-file": "0"})
