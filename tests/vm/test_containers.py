"""Containers on cgroup v2 and on a kernel without the newest mount calls, by the whole engine."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import time
from pathlib import Path

from tests.vm.marks import needs_systemd
from tests.vm.service import Service, call, processes, wait_until

pytestmark = needs_systemd

LAYERS = 64


def a_disk() -> tuple[str, str]:
    """A disk of this machine, and its numbers."""
    entries = sorted(Path("/sys/class/block").iterdir())
    disk = next(entry for entry in entries if int((entry / "size").read_text()))
    return f"/dev/{disk.name}", (disk / "dev").read_text().strip().replace(":", " ")


def test_the_engine_says_what_it_does(service: Service) -> None:
    info = json.loads(service.wherry("info", "--format", "{{json .}}").stdout)

    assert (info["CgroupVersion"], info["CgroupDriver"]) == ("2", "cgroupfs")
    assert "name=cgroupns" in info["SecurityOptions"]
    assert not [warning for warning in info["Warnings"] or [] if "cgroup" in warning.lower()]


class TestCgroups:
    def test_limits_are_the_kernels(self, service: Service) -> None:
        options = (
            "-m 64m --memory-swap 96m --memory-reservation 32m --pids-limit 50 --cpus 0.5 --cpuset-cpus 0"
        )
        files = "memory.max memory.swap.max memory.low pids.max cpu.max cpuset.cpus"

        service.wherry("run", "-d", "--name", "box", *options.split(), "busybox", "sleep", "600")

        expected = [str(64 << 20), str(32 << 20), str(32 << 20), "50", "50000 100000", "0"]
        assert service.limits("box", *files.split()) == expected

    def test_a_lack_of_memory_is_told_in_the_exit_the_state_and_an_event(self, service: Service) -> None:
        since = str(int(time.time()) - 1)

        done = service.wherry(
            "run", "--name", "hungry", "-m", "16m", "busybox", "tail", "/dev/zero", check=False
        )

        state = service.inspect("hungry")["State"]
        assert (done.returncode, state["ExitCode"], state["OOMKilled"]) == (137, 137, True)
        until = str(int(time.time()) + 1)
        form = ("--format", "{{.Action}}", "--filter", "container=hungry")
        events = service.wherry("events", "--since", since, "--until", until, *form).stdout.split()
        assert events.index("oom") < events.index("die")

    def test_a_container_forks_no_further_than_its_limit(self, service: Service) -> None:
        said = service.run("--pids-limit", "4", "for i in 1 2 3 4 5 6; do sleep 9 & done", check=False)

        assert "can't fork: Resource temporarily unavailable" in said

    def test_a_container_sees_its_own_group_alone_and_cannot_change_it(self, service: Service) -> None:
        said = service.run(
            "cat /proc/self/cgroup; mount | grep -c ' /sys/fs/cgroup .*(ro,'; "
            "mkdir /sys/fs/cgroup/x; echo max > /sys/fs/cgroup/pids.max; echo $?",
        )

        assert said.startswith("0::/\n1\n1\n")
        assert said.count("Read-only file system") == 2

    def test_the_hosts_cgroup_namespace_is_shared_when_asked_for(self, service: Service) -> None:
        said = service.run("--cgroupns", "host", "cat /proc/self/cgroup")

        assert said.startswith(f"0::/{service.containers.name}/")

    def test_a_container_with_groups_of_its_own_is_entered_and_ended(self, service: Service) -> None:
        divide = (
            "cd /sys/fs/cgroup; mkdir inner; echo 1 > inner/cgroup.procs; "
            "echo +memory +pids > cgroup.subtree_control && echo divided; sleep 600"
        )
        service.wherry("run", "-d", "--privileged", "--name", "box", "busybox", "sh", "-c", divide)
        group = service.group_of("box")
        wait_until(
            lambda: "divided" in service.wherry("logs", "box").stdout, "the container has divided its group"
        )

        assert service.wherry("exec", "box", "cat", "/proc/self/cgroup").stdout == "0::/inner\n"
        service.wherry("rm", "-f", "box")

        assert not group.exists()

    def test_a_group_that_holds_processes_passes_on_nothing_and_still_has_groups_without_limits(
        self, service: Service
    ) -> None:
        top = Path("/sys/fs/cgroup") / f"{service.containers.name}-occupied"
        top.mkdir()
        with subprocess.Popen(["sleep", "600"]) as sleep:
            (top / "cgroup.procs").write_text(str(sleep.pid))
            try:
                said = service.run("--cgroup-parent", f"/{top.name}", "echo hi")
                refused = service.run("--cgroup-parent", f"/{top.name}", "-m", "16m", "echo hi", check=False)
            finally:
                sleep.kill()
                sleep.wait()
                top.rmdir()

        assert said == "hi\n"
        assert "holds processes and passes on no controllers" in refused

    def test_a_daemon_in_a_container_gives_its_containers_limits(self, service: Service) -> None:
        binds = [
            f"-v{path}:{path}:ro" for path in ("/src", "/usr", "/lib", "/lib64", "/etc", str(service.root))
        ]
        roots = "--host unix:///run/d.sock --data-root /var/lib/wherry --exec-root /run/w --pidfile /run/pid"
        inner = [str(service.root / "wherry"), "-H", "unix:///run/d.sock"]
        options = ["--privileged", "--name", "box", "--tmpfs", "/run", "-v", "inner:/var/lib/wherry", *binds]
        service.wherry("run", "-d", *options, "busybox", str(service.root / "wherryd"), *roots.split())
        wait_until(lambda: "daemon serves" in service.wherry("logs", "box").stderr, "the inner daemon serves")
        archive = tar_of({"bin/cat": (Path("/bin/busybox").read_bytes(), 0o755)})
        (service.root / "cat.tar").write_bytes(archive)

        service.wherry("exec", "box", *inner, "import", service.root / "cat.tar", "cat")
        said = service.wherry(
            "exec", "box", *inner, "run", "--rm", "-m", "16m", "cat", "/bin/cat", "/sys/fs/cgroup/memory.max"
        )

        assert said.stdout == f"{16 << 20}\n"

    def test_a_paused_container_stands_still_and_can_be_removed(self, service: Service) -> None:
        service.wherry(
            "run", "-d", "--name", "box", "busybox", "sh", "-c", "while :; do echo; sleep 0.1; done"
        )
        service.wherry("pause", "box")
        assert "frozen 1" in service.limits("box", "cgroup.events")[0]
        still = service.wherry("logs", "box").stdout

        assert service.inspect("box")["State"]["Status"] == "paused"
        assert service.wherry("logs", "box").stdout == still
        service.wherry("unpause", "box")
        wait_until(lambda: service.wherry("logs", "box").stdout != still, "the container goes on")

        service.wherry("pause", "box")
        group = service.group_of("box")
        service.wherry("rm", "-f", "box")
        assert not group.exists()


class TestDevices:
    def test_a_node_of_the_hosts_disk_cannot_be_opened(self, service: Service) -> None:
        _, numbers = a_disk()

        said = service.run(
            f"mknod /tmp/disk b {numbers}; head -c 1 /tmp/disk; echo x > /tmp/disk; "
            "mknod /tmp/memory c 1 1; head -c 1 /tmp/memory; "
            "mknod /tmp/null c 1 3 && echo x > /tmp/null && echo x >/dev/null && head -c 4 /dev/zero | wc -c",
        )

        assert said.count("Operation not permitted") == 3
        assert said.startswith("4\n")

    def test_an_exec_is_held_to_the_same_rules(self, service: Service) -> None:
        _, numbers = a_disk()
        service.wherry("run", "-d", "--name", "box", "busybox", "sleep", "600")

        done = service.wherry(
            "exec",
            "--privileged",
            "box",
            "sh",
            "-c",
            f"mknod /tmp/d b {numbers}; head -c 1 /tmp/d",
            check=False,
        )

        assert done.returncode != 0
        assert "Operation not permitted" in done.stderr

    def test_a_device_is_given_with_the_access_asked_for(self, service: Service) -> None:
        disk, _ = a_disk()

        said = service.run(
            "--device", f"{disk}:/dev/it:r", "head -c 3 /dev/it | wc -c; echo x > /dev/it", check=False
        )

        assert said.startswith("3\n")
        assert "can't create /dev/it: Operation not permitted" in said

    def test_a_privileged_container_has_the_devices_and_its_group(self, service: Service) -> None:
        disk, _ = a_disk()

        said = service.run("--privileged", f"head -c 3 {disk} | wc -c; mkdir /sys/fs/cgroup/x && echo made")

        assert said == "3\nmade\n"


class TestRoots:
    def test_an_image_of_many_layers_runs_without_a_complaint_of_the_kernel(
        self, service: Service, tmp_path: Path
    ) -> None:
        archive = tmp_path / "many.tar"
        save_many_layers(archive, LAYERS)
        call("dmesg", "--clear")

        service.wherry("load", "-i", archive)
        done = service.wherry(
            "run", "--rm", "many", "/bin/busybox", "sh", "-c", "echo x > /new; cat /all; ls /only"
        )

        assert done.stdout.split() == [str(LAYERS - 1), *sorted(map(str, range(LAYERS)))]
        assert "overlayfs" not in call("dmesg").stdout

    def test_mounts_are_what_was_asked_for(self, service: Service, tmp_path: Path) -> None:
        (tmp_path / "below").mkdir()
        call("mount", "-t", "tmpfs", "tmpfs", tmp_path / "below")
        options = (
            f"--read-only -v {tmp_path}:/ro:ro -v {tmp_path}:/rw -v kept:/kept --tmpfs /t:size=1m,mode=700"
        )
        try:
            said = service.run(
                *options.split(),
                "for d in / /ro /ro/below /rw /rw/below /kept /t; do touch $d/f 2>/dev/null && echo $d; done",
            )
        finally:
            call("umount", tmp_path / "below")

        assert said.split() == ["/rw", "/rw/below", "/kept", "/t"]

    def test_an_init_of_ours_reaps_and_hands_on_signals(self, service: Service) -> None:
        service.wherry(
            "run",
            "-d",
            "--init",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            "trap 'exit 5' TERM; sleep 600 & wait",
        )
        group = service.group_of("box")
        wait_until(lambda: len(processes(group)) == 3, "init, shell and sleep run")

        service.wherry("stop", "box")

        assert service.inspect("box")["State"]["ExitCode"] == 5


def save_many_layers(path: Path, count: int) -> None:
    """A docker-archive of an image `many`: busybox, and a file of its own in each of `count` layers."""
    layers = []
    for number in range(count):
        files = {f"only/{number}": (b"", 0o644), "all": (b"%d\n" % number, 0o644)}
        if number == 0:
            files["bin/busybox"] = (Path("/bin/busybox").read_bytes(), 0o755)
        layers.append(tar_of(files))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"]},
        "rootfs": {
            "type": "layers",
            "diff_ids": [digest_of(layer) for layer in layers],
        },
    }
    manifest = [
        {"Config": "config.json", "RepoTags": ["many:latest"], "Layers": [f"{n}.tar" for n in range(count)]}
    ]
    documents = {"manifest.json": manifest, "config.json": config}
    files = {name: (json.dumps(document).encode(), 0o644) for name, document in documents.items()}
    files |= {f"{number}.tar": (layer, 0o644) for number, layer in enumerate(layers)}
    path.write_bytes(tar_of(files))


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def tar_of(files: dict[str, tuple[bytes, int]]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, (data, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    return output.getvalue()
