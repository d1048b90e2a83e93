"""Records as OCI documents: each option, looked at in the document."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.api.types import ContainerConfig, HostConfig, Ulimit
from wherry.core.spec import MASKED_PATHS
from wherry.core.spec.users import User
from wherry.engine.host import Host
from wherry.engine.records import ContainerRecord, MountPoint
from wherry.engine.security import parse_security_options
from wherry.engine.spec import SpecInputs, build_spec, exec_process, merge_env
from wherry.linux.capabilities import NAMES

ID = "0123456789ab" + "c" * 52
FILES = {"/etc/hosts": "/d/hosts"}


def host(**changes: Any) -> Host:
    facts: dict[str, Any] = {
        "name": "machine",
        "kernel": (6, 1),
        "kernel_release": "6.1.0",
        "architecture": "x86_64",
        "cgroup_version": 2,
        "capabilities": frozenset(NAMES),
        "cpus": 4,
        "online_cpus": "0-3",
        "memory_nodes": "0",
        "memory_bytes": 1 << 33,
        "swap_limit": True,
        "time_namespaces": True,
        "apparmor": False,
        "thermal_paths": (),
        "unprivileged_ports": True,
        "ping_range": True,
    }
    return Host(**(facts | changes))


def record(
    *,
    mounts: tuple[MountPoint, ...] = (),
    args: list[str] | None = None,
    host_config: HostConfig | None = None,
    **config: Any,
) -> ContainerRecord:
    return ContainerRecord(
        id=ID,
        name="box",
        created_at_ns=1,
        path="/bin/sh",
        args=args or [],
        config=ContainerConfig(**({"hostname": "0123456789ab"} | config)),
        host_config=host_config or HostConfig(network_mode="bridge", masked_paths=list(MASKED_PATHS)),
        image_id="sha256:" + "0" * 64,
        manifest={},
        chain_id="",
        mounts=mounts,
    )


def inputs(of: ContainerRecord, **changes: Any) -> SpecInputs:
    facts: dict[str, Any] = {"host": host(), "user": User(home="/root"), "files": FILES}
    facts |= changes
    security = parse_security_options(of.host_config.security_opt, facts["host"])
    return SpecInputs(security=security, **facts)


def spec_of(of: ContainerRecord, **changes: Any) -> dict[str, Any]:
    return build_spec(of, inputs(of, **changes))


def namespaces(spec: dict[str, Any]) -> dict[str, str]:
    return {entry["type"]: entry.get("path", "") for entry in spec["linux"]["namespaces"]}


def mounts_of(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {mount["destination"]: mount for mount in spec["mounts"]}


def test_the_plain_document() -> None:
    spec = spec_of(record(args=["-c", "true"], env=["A=1"]))

    assert spec["hostname"] == "0123456789ab"
    assert spec["process"]["args"] == ["/bin/sh", "-c", "true"]
    assert spec["process"]["env"] == [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME=0123456789ab",
        "A=1",
        "HOME=/root",
    ]
    assert (spec["process"]["cwd"], spec["process"]["terminal"], spec["process"]["oomScoreAdj"]) == (
        "/",
        False,
        0,
    )
    assert spec["process"]["user"] == {"uid": 0, "gid": 0, "additionalGids": [0]}
    assert spec["linux"]["cgroupsPath"] == f"/wherry/{ID}"
    assert spec["linux"]["maskedPaths"] == list(MASKED_PATHS)
    assert spec["linux"]["sysctl"] == {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": "0 2147483647",
    }
    assert set(namespaces(spec)) == {"mount", "network", "uts", "pid", "ipc", "time", "cgroup"}
    assert "rootfsPropagation" not in spec["linux"]


class TestEnvironment:
    def test_a_terminal_has_a_type(self) -> None:
        assert "TERM=xterm" in spec_of(record(tty=True))["process"]["env"]

    def test_nothing_comes_from_the_daemon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MARK", "secret")

        env = spec_of(record(env=["MARK", "*", "=x", "A"]))["process"]["env"]

        assert not any("secret" in entry or entry.startswith(("MARK", "*", "=", "A")) for entry in env)

    def test_keys_are_replaced_where_they_stand(self) -> None:
        assert merge_env(["A=1", "B=2", "C=3"], ["B=9", "A", "D=4"]) == ["B=9", "C=3", "D=4"]

    def test_home_is_kept(self) -> None:
        assert "HOME=/x" in spec_of(record(env=["HOME=/x"]))["process"]["env"]


class TestNamespaces:
    def test_modes_of_the_host(self) -> None:
        modes = HostConfig(
            network_mode="host", pid_mode="host", ipc_mode="host", uts_mode="host", cgroupns_mode="host"
        )

        spec = spec_of(record(host_config=modes))

        assert set(namespaces(spec)) == {"mount", "time"}
        assert "hostname" not in spec
        assert spec["linux"]["sysctl"] == {}

    def test_those_of_another_container(self) -> None:
        modes = HostConfig(pid_mode="container:x")

        spec = spec_of(record(host_config=modes), joined={"pid": "/proc/7/ns/pid"})

        assert namespaces(spec)["pid"] == "/proc/7/ns/pid"

    def test_cgroups_are_shared_with_the_host_on_v1(self) -> None:
        assert "cgroup" not in namespaces(spec_of(record(), host=host(cgroup_version=1)))


class TestMounts:
    def test_the_engines_files_and_the_users_mounts_by_depth(self) -> None:
        points = (
            MountPoint(type="bind", source="/a", destination="/x/y", propagation="rprivate", rw=False),
            MountPoint(type="volume", source="/v", destination="/x", name="v", driver="local"),
            MountPoint(type="tmpfs", destination="/t", tmpfs_options=("nosuid", "size=1")),
        )

        mounts = mounts_of(spec_of(record(mounts=points)))

        assert list(mounts)[-4:] == ["/x", "/t", "/x/y", "/etc/hosts"]
        assert mounts["/x/y"]["options"] == ["rbind", "rro", "rprivate"]
        assert mounts["/x"]["options"] == ["rbind", "rprivate"]
        assert mounts["/t"]["options"] == ["nosuid", "size=1", "rprivate"]
        assert mounts["/etc/hosts"]["options"] == ["rbind", "rprivate"]

    def test_an_older_kernel_reads_only_the_top(self) -> None:
        points = (MountPoint(type="bind", source="/a", destination="/x", rw=False),)

        mounts = mounts_of(spec_of(record(mounts=points), host=host(kernel=(5, 10))))

        assert mounts["/x"]["options"] == ["rbind", "ro", "rprivate"]

    def test_a_mount_on_an_engines_file_takes_its_place(self) -> None:
        points = (MountPoint(type="bind", source="/mine", destination="/etc/hosts"),)

        assert mounts_of(spec_of(record(mounts=points)))["/etc/hosts"]["source"] == "/mine"

    def test_a_mount_on_dev_drops_what_is_below(self) -> None:
        points = (MountPoint(type="bind", source="/dev", destination="/dev"),)

        assert not [d for d in mounts_of(spec_of(record(mounts=points))) if d.startswith("/dev/")]

    def test_a_read_only_root(self) -> None:
        spec = spec_of(record(host_config=HostConfig(readonly_rootfs=True)))

        mounts = mounts_of(spec)
        assert spec["root"]["readonly"]
        assert "ro" in mounts["/etc/hosts"]["options"]
        assert not any(
            "ro" in mounts[d]["options"] for d in ("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
        )

    def test_shared_memory(self) -> None:
        sized = mounts_of(spec_of(record(host_config=HostConfig(shm_size=4096))))
        none = mounts_of(spec_of(record(host_config=HostConfig(ipc_mode="none"))))
        shared = mounts_of(spec_of(record(), shm_source="/d/shm"))

        assert sized["/dev/shm"]["options"][-1] == "size=4096"
        assert "/dev/shm" not in none
        assert (shared["/dev/shm"]["type"], shared["/dev/shm"]["source"]) == ("bind", "/d/shm")

    def test_shared_propagation_reaches_the_root(self) -> None:
        points = (MountPoint(type="bind", source="/a", destination="/x", propagation="rshared"),)

        assert spec_of(record(mounts=points))["linux"]["rootfsPropagation"] == "shared"


class TestConfinement:
    def test_privileged(self) -> None:
        ours = frozenset(NAMES) - {"CAP_SYS_MODULE"}

        spec = spec_of(record(host_config=HostConfig(privileged=True)), host=host(capabilities=ours))

        assert set(spec["process"]["capabilities"]["bounding"]) == ours
        assert spec["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
        assert (spec["linux"]["maskedPaths"], spec["linux"]["readonlyPaths"]) == ([], [])
        assert "ro" not in mounts_of(spec)["/sys"]["options"]
        assert "rw" in mounts_of(spec)["/sys/fs/cgroup"]["options"]

    def test_no_new_privileges_by_option_and_by_default(self) -> None:
        asked = record(host_config=HostConfig(security_opt=["no-new-privileges"]))
        refused = record(host_config=HostConfig(security_opt=["no-new-privileges=false"]))

        assert spec_of(asked)["process"]["noNewPrivileges"] is True
        assert spec_of(record(), no_new_privileges=True)["process"]["noNewPrivileges"] is True
        assert spec_of(refused, no_new_privileges=True)["process"]["noNewPrivileges"] is False

    def test_device_rules_come_after_the_defaults(self) -> None:
        of = record(host_config=HostConfig(device_cgroup_rules=["c 42:* rwm"]))

        rules = spec_of(of)["linux"]["resources"]["devices"]

        assert rules[0] == {"allow": False, "access": "rwm"}
        assert rules[-1] == {"allow": True, "type": "c", "access": "rwm", "major": 42}

    def test_an_exec_is_confined_as_its_container(self) -> None:
        of = record(host_config=HostConfig(cap_drop=["ALL"], security_opt=["no-new-privileges"]), env=["A=1"])

        process = exec_process(
            of, inputs(of), args=["x"], env=["A=2"], cwd="/w", tty=True, privileged=False, console_size=(3, 4)
        )

        assert process["capabilities"]["bounding"] == []
        assert process["noNewPrivileges"] is True
        assert (process["args"], process["cwd"]) == (["x"], "/w")
        assert {"A=2", "TERM=xterm"} <= set(process["env"])
        assert process["consoleSize"] == {"height": 3, "width": 4}

    def test_a_privileged_exec_gets_our_capabilities_and_nothing_else(self) -> None:
        of = record()

        process = exec_process(of, inputs(of), args=["x"], env=(), cwd="", tty=False, privileged=True)

        assert set(process["capabilities"]["effective"]) == set(NAMES)


class TestOther:
    def test_the_reaper_runs_the_program(self) -> None:
        spec = spec_of(record(args=["-c"]), init="/d/docker-init")

        assert spec["process"]["args"] == ["/sbin/docker-init", "--", "/bin/sh", "-c"]
        assert mounts_of(spec)["/sbin/docker-init"]["source"] == "/d/docker-init"

    @pytest.mark.parametrize(
        ("parent", "path"),
        [
            ("", f"/wherry/{ID}"),
            ("/a/b/", f"/a/b/{ID}"),
            ("user.slice", f"user.slice:wherry:{ID}"),
            ("/", f"/{ID}"),
        ],
    )
    def test_the_cgroup(self, parent: str, path: str) -> None:
        assert spec_of(record(host_config=HostConfig(cgroup_parent=parent)))["linux"]["cgroupsPath"] == path

    def test_limits(self) -> None:
        own = HostConfig(
            memory=64 << 20, nano_cpus=1_500_000_000, pids_limit=-5, cpu_shares=7, blkio_weight=300
        )

        resources = spec_of(record(host_config=own))["linux"]["resources"]

        assert resources["memory"] == {"limit": 64 << 20, "swap": 128 << 20}
        assert resources["cpu"] == {"shares": 7, "quota": 150_000, "period": 100_000}
        assert resources["pids"] == {"limit": -1}
        assert resources["blockIO"] == {"weight": 300}

    def test_a_kernel_that_cannot_limit_swap_is_not_asked_to(self) -> None:
        resources = spec_of(record(host_config=HostConfig(memory=64 << 20)), host=host(swap_limit=False))

        assert resources["linux"]["resources"]["memory"] == {"limit": 64 << 20}

    def test_the_containers_ulimits_replace_the_daemons(self) -> None:
        own = HostConfig(ulimits=[Ulimit(name="nofile", soft=1, hard=-1)])
        defaults = (Ulimit(name="nofile", soft=9, hard=9), Ulimit(name="core", soft=0, hard=0))

        spec = spec_of(record(host_config=own), default_ulimits=defaults)

        assert spec["process"]["rlimits"] == [
            {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2**64 - 1},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        ]

    def test_a_domain_name_and_annotations(self) -> None:
        of = record(domainname="example.org", host_config=HostConfig(annotations={"a": "b"}))

        spec = spec_of(of)

        assert spec["linux"]["sysctl"]["kernel.domainname"] == "example.org"
        assert spec["annotations"] == {"a": "b"}
