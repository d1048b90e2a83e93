"""Containers for real: created, started, watched and removed by the engine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.integration.engine.conftest import Roots, actions, create, output, run

from wherry.api.types import DeviceMapping, HostConfig, Mount, RestartPolicy, TmpfsOptions, Ulimit
from wherry.engine.containers.inspect import inspect_container
from wherry.engine.containers.kill import kill_container
from wherry.engine.containers.pause import pause_container, unpause_container
from wherry.engine.containers.remove import remove_container
from wherry.engine.containers.restart import restart_container
from wherry.engine.containers.start import start_container
from wherry.engine.containers.stop import stop_container
from wherry.engine.containers.top import top_container
from wherry.engine.containers.wait import wait_container
from wherry.errors import Conflict, InvalidArgument, NotFound, NotModified


class TestStarts:
    def test_a_program_runs_and_its_exit_code_is_told(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                code, text = await run(engine, "sh", "-c", "echo hi; exit 3")

                assert (code, text) == (3, "hi\n")
                state = (await inspect_container(engine, "box"))["State"]
                assert (state["Status"], state["ExitCode"], state["Pid"]) == ("exited", 3, 0)
                await engine.containers.find("box").exit_handled.wait()
                assert actions(engine) == ["create", "start", "die"]

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("command", "code", "text"),
        [
            (["nope"], 127, r'exec: "nope": executable file not found in \$PATH'),
            (["/nope"], 127, r'exec: "/nope": stat /nope: no such file or directory'),
            (["/bin/noexec"], 126, r'exec: "/bin/noexec": permission denied'),
            (["/etc"], 126, r'exec: "/etc": is a directory: permission denied'),
        ],
    )
    def test_a_program_that_cannot_run_is_a_bad_request(
        self, roots: Roots, command: list[str], code: int, text: str
    ) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, *command)

                with pytest.raises(
                    InvalidArgument, match=rf"^failed to create task for container: .*{text}$"
                ):
                    await start_container(engine, "box")

                state = (await inspect_container(engine, "box"))["State"]
                assert (state["Status"], state["ExitCode"]) == ("created", code)
                assert not list(roots.exec.glob("tasks/*/*"))

        asyncio.run(scenario())

    def test_a_container_starts_again_with_its_files(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await run(engine, "sh", "-c", "test -e /mark && echo again; touch /mark")
                waiter = await wait_container(engine, "box", condition="next-exit")

                await start_container(engine, "box")

                await waiter
                assert await output(engine, "box") == "again\n"

        asyncio.run(scenario())

    def test_a_running_container_is_not_started_twice(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sleep", "60")
                await start_container(engine, "box")

                with pytest.raises(NotModified):
                    await start_container(engine, "box")

        asyncio.run(scenario())

    def test_an_unknown_image_is_not_found(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                with pytest.raises(NotFound, match=r"^No such image: nope:latest$"):
                    await create(engine, "true", image="nope")

                assert not list(engine.containers_root.iterdir())

        asyncio.run(scenario())


class TestConfiguration:
    def probe(self, roots: Roots, script: str, *, host: HostConfig | None = None, **config: object) -> str:
        async def scenario() -> str:
            async with roots.engine() as engine:
                code, text = await run(engine, "sh", "-c", script, host=host, **config)
                assert code == 0, text
                return text

        return asyncio.run(scenario())

    def test_identity(self, roots: Roots) -> None:
        text = self.probe(
            roots, "id -u; id -g; id -G; hostname; echo $HOME $A; echo $$", user="bob", env=["A=b"]
        )

        uid, gid, groups, hostname, home, pid = text.splitlines()
        assert (uid, gid, groups, home, pid) == ("1000", "1000", "1000 50", "/home/bob b", "1")
        assert len(hostname) == 12

    def test_a_user_that_is_not_there_fails_the_start(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "true", user="carol")
                text = "unable to find user carol: no matching entries in passwd file"
                with pytest.raises(InvalidArgument, match=text):
                    await start_container(engine, "box")

        asyncio.run(scenario())

    def test_limits_reach_the_cgroup(self, roots: Roots) -> None:
        script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max"

        text = self.probe(roots, script, host=HostConfig(memory=64 << 20, pids_limit=17))

        assert text.split() == [str(64 << 20), "17"]

    def test_ulimits(self, roots: Roots) -> None:
        host = HostConfig(ulimits=[Ulimit(name="nofile", soft=99, hard=111)])

        assert self.probe(roots, "ulimit -Sn; ulimit -Hn", host=host).split() == ["99", "111"]

    def test_a_read_only_root(self, roots: Roots) -> None:
        host = HostConfig(readonly_rootfs=True, tmpfs={"/tmp": "size=1m"})

        text = self.probe(roots, "touch /x 2>/dev/null || echo ro; touch /tmp/x && echo rw", host=host)

        assert text == "ro\nrw\n"

    def test_capabilities(self, roots: Roots) -> None:
        default = self.probe(roots, "cat /proc/self/status")

        assert "CapEff:\t00000000a80425fb" in default
        assert "CapInh:\t0000000000000000" in default
        assert "Seccomp:\t2" in default

    def test_dropped_capabilities_and_no_new_privileges(self, roots: Roots) -> None:
        host = HostConfig(cap_drop=["ALL"], cap_add=["KILL"], security_opt=["no-new-privileges"])

        text = self.probe(roots, "cat /proc/self/status", host=host)

        assert "CapBnd:\t0000000000000020" in text
        assert "NoNewPrivs:\t1" in text

    def test_privileged_sees_devices_and_writes_sys(self, roots: Roots) -> None:
        text = self.probe(roots, "ls /dev; mount", host=HostConfig(privileged=True))

        assert "loop-control" in text or "kmsg" in text
        assert "sysfs on /sys type sysfs (rw" in text

    def test_a_device(self, roots: Roots) -> None:
        device = DeviceMapping(
            path_on_host="/dev/null", path_in_container="/dev/nothing", cgroup_permissions="r"
        )

        text = self.probe(roots, "stat -c %t:%T /dev/nothing", host=HostConfig(devices=[device]))

        assert text == "1:3\n"

    def test_the_host_network(self, roots: Roots) -> None:
        text = self.probe(
            roots, "stat -Lc %i /proc/self/ns/net; hostname", host=HostConfig(network_mode="host")
        )

        inode, hostname = text.split()
        assert inode == str(os.stat("/proc/self/ns/net").st_ino)
        assert hostname == os.uname().nodename

    def test_the_default_network_has_loopback_only(self, roots: Roots) -> None:
        assert "lo:" in self.probe(roots, "cat /proc/net/dev; cat /etc/hosts; cat /etc/resolv.conf")

    def test_what_programs_expect(self, roots: Roots) -> None:
        text = self.probe(roots, "ls -a /.dockerenv; ls -l /etc/mtab; stat -c %a /etc")

        assert "/.dockerenv" in text
        assert "/etc/mtab -> /proc/mounts" in text
        assert text.endswith("755\n")

    def test_the_reaper_is_the_first_process(self, roots: Roots) -> None:
        text = self.probe(roots, "echo $$; cat /proc/1/cmdline", host=HostConfig(init=True))

        assert text.startswith(("2\n", "7\n")) or not text.startswith("1\n")
        assert "/sbin/docker-init" in text


class TestMounts:
    def test_binds_and_tmpfs(self, roots: Roots, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        (source / "file").write_text("from the host\n")
        host = HostConfig(
            binds=[f"{source}:/rw", f"{source}:/ro:ro", f"{tmp_path}/made:/made"],
            mounts=[Mount(type="tmpfs", target="/t", tmpfs_options=TmpfsOptions(size_bytes=1 << 20))],
        )

        async def scenario() -> None:
            async with roots.engine() as engine:
                script = "cat /ro/file; touch /rw/new; touch /ro/x 2>/dev/null || echo ro; touch /made/x /t/x"
                assert await run(engine, "sh", "-c", script, host=host) == (0, "from the host\nro\n")

        asyncio.run(scenario())
        assert (source / "new").exists()
        assert (tmp_path / "made" / "x").exists()

    def test_a_new_volume_gets_what_the_image_has_there(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                host = HostConfig(binds=["data:/seed"])
                assert await run(engine, "cat", "/seed/hello", host=host) == (0, "from the image\n")
                (engine.volumes.data("data") / "hello").write_text("changed\n")

                assert await run(engine, "cat", "/seed/hello", host=host, name="second") == (0, "changed\n")

        asyncio.run(scenario())

    def test_anonymous_volumes_go_with_their_container(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await run(engine, "touch", "/v/x", volumes={"/v": {}})
                assert len(list(engine.volumes)) == 1

                await remove_container(engine, "box", volumes=True)

                assert not list(engine.volumes)
                assert not list(engine.volumes.root.iterdir())

        asyncio.run(scenario())

    def test_a_bind_that_does_not_fit_is_told_as_docker_does(self, roots: Roots, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "true", host=HostConfig(binds=[f"{tmp_path}:/etc/passwd"]))

                with pytest.raises(InvalidArgument, match="Are you trying to mount a directory onto a file"):
                    await start_container(engine, "box")

        asyncio.run(scenario())


class TestEnds:
    def test_stop_sends_the_stop_signal_and_then_kills(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
                await start_container(engine, "box")

                await stop_container(engine, "box", timeout_s=1)

                assert (await inspect_container(engine, "box"))["State"]["ExitCode"] == 137
                assert actions(engine) == ["create", "start", "kill", "kill", "die", "stop"]
                with pytest.raises(NotModified):
                    await stop_container(engine, "box")

        asyncio.run(scenario())

    def test_a_signal_by_name(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sh", "-c", "trap 'exit 9' USR1; while :; do sleep 0.05; done")
                waiter = await wait_container(engine, "box", condition="next-exit")
                await start_container(engine, "box")
                await asyncio.sleep(0.2)

                await kill_container(engine, "box", signal="usr1")

                assert (await waiter)["StatusCode"] == 9
                with pytest.raises(
                    Conflict, match=r"cannot kill container: box: container .* is not running"
                ):
                    await kill_container(engine, "box")

        asyncio.run(scenario())

    def test_a_paused_container_is_killed_by_a_forced_removal(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sleep", "60")
                await start_container(engine, "box")
                await pause_container(engine, "box")
                with pytest.raises(Conflict, match="container is paused and must be unpaused first"):
                    await remove_container(engine, "box")

                await remove_container(engine, "box", force=True)

                assert not list(engine.containers)
                assert actions(engine)[-3:] == ["kill", "die", "destroy"]

        asyncio.run(scenario())

    def test_top_shows_its_processes_and_no_others(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sh", "-c", "sleep 61 & exec sleep 62")
                await start_container(engine, "box")

                async with asyncio.timeout(10):
                    while len((await top_container(engine, "box"))["Processes"]) < 2:
                        await asyncio.sleep(0.01)
                chosen = await top_container(engine, "box", "-o pid,args")

                assert chosen["Titles"] == ["PID", "COMMAND"]
                assert sorted(line[1] for line in chosen["Processes"]) == ["sleep 61", "sleep 62"]

        asyncio.run(scenario())

    def test_pause_and_unpause(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sleep", "60")
                await start_container(engine, "box")
                await pause_container(engine, "box")
                with pytest.raises(Conflict, match=r"is already paused"):
                    await pause_container(engine, "box")

                await unpause_container(engine, "box")

                assert (await inspect_container(engine, "box"))["State"]["Status"] == "running"

        asyncio.run(scenario())

    def test_auto_remove_leaves_nothing(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(
                    engine, "sh", "-c", "exit 5", host=HostConfig(auto_remove=True), volumes={"/v": {}}
                )
                waiter = await wait_container(engine, "box", condition="removed")
                await start_container(engine, "box")

                assert (await waiter)["StatusCode"] == 5
                assert not list(engine.containers)
                assert not list(engine.containers_root.iterdir())
                assert not list(engine.volumes.root.iterdir())
                assert [s.key for s in engine.snapshots.walk() if s.kind == "active"] == []
                assert actions(engine)[-2:] == ["die", "destroy"]

        asyncio.run(scenario())

    def test_restart_keeps_an_auto_removed_container(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sleep", "60", host=HostConfig(auto_remove=True))
                await start_container(engine, "box")

                await restart_container(engine, "box", timeout_s=0)

                assert (await inspect_container(engine, "box"))["State"]["Status"] == "running"
                assert actions(engine)[-1] == "restart"

        asyncio.run(scenario())

    def test_on_failure_restarts_so_many_times(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                policy = RestartPolicy(name="on-failure", maximum_retry_count=2)
                await create(engine, "sh", "-c", "echo x; exit 1", host=HostConfig(restart_policy=policy))
                waiter = await wait_container(engine, "box", condition="next-exit")
                await start_container(engine, "box")

                async with asyncio.timeout(15):
                    assert (await waiter)["StatusCode"] == 1

                shown = await inspect_container(engine, "box")
                assert shown["RestartCount"] == 2
                assert await output(engine, "box") == "x\nx\nx\n"

        asyncio.run(scenario())

    def test_a_stop_ends_a_restart_that_waits(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                policy = RestartPolicy(name="always")
                await create(engine, "false", host=HostConfig(restart_policy=policy))
                await start_container(engine, "box")
                async with asyncio.timeout(15):
                    while (await inspect_container(engine, "box"))["State"]["Status"] != "restarting":
                        await asyncio.sleep(0.01)

                await stop_container(engine, "box")

                await asyncio.sleep(0.5)
                assert (await inspect_container(engine, "box"))["State"]["Status"] == "exited"

        asyncio.run(scenario())


class TestSharedNamespaces:
    def test_pid_network_and_ipc_of_another(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sh", "-c", "echo shared > /dev/shm/x; exec sleep 60", name="donor",
                             host=HostConfig(ipc_mode="shareable"))  # fmt: skip
                await start_container(engine, "donor")
                await asyncio.sleep(0.2)
                modes = {
                    "pid_mode": "container:donor",
                    "network_mode": "container:donor",
                    "ipc_mode": "container:donor",
                }

                code, text = await run(
                    engine, "sh", "-c", "cat /dev/shm/x; cat /proc/1/cmdline", host=HostConfig(**modes)
                )

                assert (code, text.split("\n")[0]) == (0, "shared")
                assert "sleep\x0060" in text

        asyncio.run(scenario())


class TestTerminal:
    def test_it_has_the_size_it_was_created_with(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                host = HostConfig(console_size=(33, 99))

                assert await run(engine, "stty", "size", host=host, tty=True) == (0, "33 99\r\n")

        asyncio.run(scenario())
