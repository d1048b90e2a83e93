"""docker-py, which knows only the older hijack without an upgrade, works unchanged."""

import gc
from collections.abc import Iterator

import docker
import pytest
from tests.daemon import Daemon
from tests.registry import Registry

# docker-py leaves the sockets of its attach and exec streams to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def client(daemon: Daemon) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=daemon.host)
    yield client
    client.close()
    gc.collect()


def test_run_returns_the_output(client: docker.DockerClient) -> None:
    assert client.containers.run("busybox", "echo hi", remove=True, network_mode="none") == b"hi\n"


def test_a_failing_command_is_a_container_error(client: docker.DockerClient) -> None:
    with pytest.raises(docker.errors.ContainerError) as caught:
        client.containers.run("busybox", "sh -c 'echo oops >&2; exit 3'", remove=True, network_mode="none")

    assert caught.value.exit_status == 3
    assert caught.value.stderr == b"oops\n"


def test_an_unknown_image_is_image_not_found(client: docker.DockerClient) -> None:
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("no/such/image")


def test_exec_separates_the_streams(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", "sleep 300", detach=True, network_mode="none")

    code, (out, err) = container.exec_run(["sh", "-c", "echo o; echo e >&2; exit 4"], demux=True)
    container.remove(force=True)

    assert (code, out, err) == (4, b"o\n", b"e\n")


def test_the_life_of_a_container(client: docker.DockerClient) -> None:
    container = client.containers.create(
        "busybox", "sh -c 'echo life; sleep 300'", network_mode="none", name="pylife"
    )

    container.start()
    container.reload()
    assert container.status == "running"
    container.stop(timeout=1)
    container.reload()
    logs = container.logs()
    exit_code = container.wait()["StatusCode"]
    container.remove()

    assert container.status == "exited"
    assert logs == b"life\n"
    assert exit_code == 137
    assert not client.containers.list(all=True, filters={"name": "pylife"})


def test_images_list_and_tag(client: docker.DockerClient) -> None:
    image = client.images.get("busybox")

    assert image.tag("renamed", tag="v1")
    assert any("renamed:v1" in listed.tags for listed in client.images.list())
    client.images.remove("renamed:v1")


def test_an_image_is_pushed_removed_and_pulled_again(client: docker.DockerClient) -> None:
    with Registry() as registry:
        name = f"127.0.0.1:{registry.port}/team/busybox"
        client.images.get("busybox").tag(name, tag="1")
        client.images.push(name, tag="1")
        client.images.remove(f"{name}:1")

        pulled = client.images.pull(name, tag="1")

        assert f"{name}:1" in pulled.tags
        client.images.remove(f"{name}:1")


def test_attach_and_stream(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", "sh -c 'echo one; echo two'", network_mode="none")
    stream = container.attach(stream=True, logs=True, stdout=True, stderr=True)

    container.start()
    seen = b"".join(stream)
    container.wait()
    container.remove()

    assert seen == b"one\ntwo\n"
