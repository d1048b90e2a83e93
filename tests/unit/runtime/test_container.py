"""Containers on disk."""

import json
import os
from pathlib import Path

import pytest

from wherry.errors import InvalidArgument
from wherry.linux.process import process_start_time
from wherry.runtime.container import Container, check_id, container_ids
from wherry.runtime.failures import ContainerExists, ContainerNotFound

SPEC = {"linux": {"cgroupsPath": "/x/c"}, "annotations": {"a": "b"}}


def create(root: Path, name: str = "c") -> Container:
    return Container.create(str(root), name, bundle="/b", spec=SPEC, rootfs="/b/rootfs")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "é", "a\0b", "x" * 1025, "a:b"])
def test_an_id_that_could_be_a_path_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        check_id(name)


def test_an_id_is_taken_until_it_is_removed(tmp_path: Path) -> None:
    with create(tmp_path) as container:
        with pytest.raises(ContainerExists):
            create(tmp_path)
        assert container_ids(str(tmp_path)) == ["c"]

        container.remove()

    assert container_ids(str(tmp_path)) == []
    with pytest.raises(ContainerNotFound):
        Container.load(str(tmp_path), "c")


def test_what_is_about_to_be_made_is_on_disk_before_there_is_a_process(tmp_path: Path) -> None:
    create(tmp_path).close()

    record = json.loads((tmp_path / "c/state.json").read_text())

    assert (record["pid"], record["cgroup_path"]) == (0, "/x/c")
    assert (tmp_path / "c/state.json").stat().st_mode & 0o777 == 0o600


def test_a_container_that_is_being_made_is_creating_and_one_cut_off_is_stopped(tmp_path: Path) -> None:
    with create(tmp_path) as maker:
        with Container.load(str(tmp_path), "c", lock=False) as looking:
            assert looking.status() == "creating"
        assert maker.status() == "stopped"
    with Container.load(str(tmp_path), "c", lock=False) as looking:
        assert looking.status() == "stopped"


def test_a_pid_counts_only_with_its_start_time(tmp_path: Path) -> None:
    pid = os.getpid()
    with create(tmp_path) as container:
        container.record |= {"pid": pid, "start_time": process_start_time(pid) + 1}
        container.save()
        assert container.status() == "stopped"
        assert container.state()["pid"] == 0

        container.record["start_time"] = process_start_time(pid)
        assert container.status() == "running"
        container.remove()


def test_a_container_with_somebody_at_its_gate_is_created(tmp_path: Path) -> None:
    with create(tmp_path) as container:
        container.record |= {"pid": os.getpid(), "start_time": process_start_time(os.getpid())}
        gate = container.listen_at_gate()
        assert container.status() == "created"

        os.close(gate)

        assert container.status() == "running"
        container.remove()


def test_a_gate_may_lie_deeper_than_a_socket_address_holds(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 50] * 5)
    with create(deep) as container:
        gate = container.listen_at_gate()

        channel = container.knock()

        assert channel is not None
        channel.close()
        os.close(gate)
        container.remove()


def test_a_record_that_was_never_written_is_no_container(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()

    with pytest.raises(ContainerNotFound):
        Container.load(str(tmp_path), "c")
