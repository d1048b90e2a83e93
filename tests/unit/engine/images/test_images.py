"""Images by name and id: found, shown, tagged, removed, pruned, saved and loaded."""

from __future__ import annotations

import asyncio
import io

import msgspec
import pytest
from tests.fakes.registry import Answer, FakeRegistry
from tests.unit.engine.conftest import CHANGES, Lab, actions, make, small_tar

from wherry.engine.containers.remove import remove_container
from wherry.engine.containers.start import start_container
from wherry.engine.engine import Engine
from wherry.engine.images.find import find_image
from wherry.engine.images.history import image_history
from wherry.engine.images.import_ import import_image
from wherry.engine.images.inspect import inspect_image
from wherry.engine.images.list import list_images
from wherry.engine.images.load import load_images
from wherry.engine.images.prune import prune_images
from wherry.engine.images.pull import pull_image
from wherry.engine.images.push import push_image
from wherry.engine.images.remove import remove_image
from wherry.engine.images.save import save_images
from wherry.engine.images.tag import tag_image
from wherry.errors import Conflict, InvalidArgument, NotFound, PermissionDenied


async def tags(engine: Engine) -> list[list[str]]:
    return [image["RepoTags"] for image in await list_images(engine)]


async def add(engine: Engine, repository: str, content: bytes = b"x") -> str:
    """Another image, of other changes; its id."""
    changes = [*CHANGES, f"LABEL content={content.decode()}"]
    records = import_image(engine, io.BytesIO(small_tar()), repository=repository, changes=changes)
    return str([record async for record in records][-1]["status"])


class TestPull:
    def test_a_name_without_a_tag_means_all_of_the_registry(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                with FakeRegistry() as registry:
                    name = f"{registry.host}/team/app"
                    for tag in ("1", "2"):
                        registry.add_image("team/app", tag, [small_tar()], author=tag)
                    registry.script("GET", "/v2/team/app/tags/list", Answer(200, b'{"tags": ["1", "2"]}'))

                    records = [record async for record in pull_image(engine, f"{name}:")]

                assert sorted(tag for found in await tags(engine) for tag in found)[:2] == [
                    f"{name}:1",
                    f"{name}:2",
                ]
                assert records[-1]["status"] == f"Status: Downloaded newer image for {name}"
                assert actions(engine, "image")[-2:] == ["pull", "pull"]

        asyncio.run(scenario())

    def test_a_repository_without_tags_is_told(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                with FakeRegistry() as registry:
                    registry.script("GET", "/v2/team/app/tags/list", Answer(200, b'{"tags": []}'))

                    with pytest.raises(NotFound, match=f"no tags found for {registry.host}/team/app"):
                        _ = [record async for record in pull_image(engine, f"{registry.host}/team/app")]

        asyncio.run(scenario())


class TestFind:
    @pytest.mark.parametrize(
        ("reference", "text"),
        [
            ("nope", "^No such image: nope:latest$"),
            ("nope:1", "^No such image: nope:1$"),
            ("example.org/a/b", "^No such image: example.org/a/b:latest$"),
            ("sha256:" + "0" * 64, "^No such image: sha256:0"),
            ("0" * 12, "^No such image: 000000000000:latest$"),
        ],
    )
    def test_what_is_not_here(self, lab: Lab, reference: str, text: str) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                with pytest.raises(NotFound, match=text):
                    find_image(engine, reference)

        asyncio.run(scenario())

    @pytest.mark.parametrize("reference", ["", "UPPER", "a b", "a:", "a@sha256:x"])
    def test_what_is_no_reference(self, lab: Lab, reference: str) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                with pytest.raises(InvalidArgument, match=r"^(invalid|unsupported) "):
                    find_image(engine, reference)

        asyncio.run(scenario())

    def test_every_way_to_call_it(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                digest = find_image(engine, "small").target.digest
                ways = ["small:latest", "docker.io/library/small", str(digest), digest.hex, digest.hex[:12],
                        f"sha256:{digest.hex[:8]}", f"small@{digest}"]  # fmt: skip

                assert {find_image(engine, way).target.digest for way in ways} == {digest}

        asyncio.run(scenario())


class TestShow:
    def test_list_inspect_and_history(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine)
                [listed] = await list_images(engine, shared_size=True, manifests=True)
                old = (await list_images(engine, version=(1, 42)))[0]
                shown = await inspect_image(engine, "small", manifests=True)
                [step] = await image_history(engine, "small")

                assert (listed["RepoTags"], listed["Containers"]) == (["small:latest"], 1)
                assert listed["RepoDigests"] == [f"small@{listed['Id']}"]
                assert (old["Containers"], old["VirtualSize"]) == (-1, old["Size"])
                assert shown["Id"] == listed["Id"]
                assert shown["Config"]["Cmd"] == ["sh"]
                assert "Hostname" in (await inspect_image(engine, "small", version=(1, 49)))["Config"]
                assert (step["Id"], step["Tags"]) == (listed["Id"], ["small:latest"])
                assert shown["Manifests"][0]["Available"]
                assert msgspec.json.encode([listed, shown, step])

        asyncio.run(scenario())

    def test_filters(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await add(engine, "example.org/team/other")

                async def named(**filters: list[str]) -> list[str]:
                    return [image["RepoTags"][0] for image in await list_images(engine, filters=filters)]

                assert await named(reference=["sm*"]) == ["small:latest"]
                assert await named(reference=["example.org/*/other"]) == ["example.org/team/other:latest"]
                assert await named(reference=["*"]) == ["small:latest"]
                assert await named(label=["content=x"]) == ["example.org/team/other:latest"]
                assert await named(dangling=["true"]) == []
                assert await named(since=["small"]) == ["example.org/team/other:latest"]
                assert await named(until=["1h"]) == []

        asyncio.run(scenario())


class TestTag:
    @pytest.mark.parametrize(
        ("repository", "tag", "kind", "text"),
        [
            ("a@sha256:" + "0" * 64, "", InvalidArgument, "refusing to create a tag with a digest reference"),
            (
                "sha256",
                "x",
                InvalidArgument,
                "refusing to create an ambiguous tag using digest algorithm as name",
            ),
            ("scratch", "", PermissionDenied, "'scratch' is a reserved name"),
            ("a", "-", InvalidArgument, "invalid tag format"),
            ("A", "", InvalidArgument, "invalid reference format: repository name "),
        ],
    )
    def test_refusals(self, lab: Lab, repository: str, tag: str, kind: type[Exception], text: str) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                with pytest.raises(kind, match=text):
                    await tag_image(engine, "small", repository=repository, tag=tag)

        asyncio.run(scenario())

    def test_a_moved_tag_leaves_a_dangling_image(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await add(engine, "other")

                await tag_image(engine, "other", repository="small")

                assert sorted(await tags(engine)) == [[], ["other:latest", "small:latest"]]
                assert (await prune_images(engine, {}))["SpaceReclaimed"] > 0
                assert len(await tags(engine)) == 1

        asyncio.run(scenario())


class TestRemove:
    def test_by_name_and_then_by_id(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                image_id = str(find_image(engine, "small").target.digest)
                await tag_image(engine, "small", repository="other/name")

                with pytest.raises(
                    Conflict, match=r"\(must be forced\) - image is referenced in multiple repositories"
                ):
                    await remove_image(engine, image_id)
                assert await remove_image(engine, "other/name") == [{"Untagged": "other/name:latest"}]
                assert await remove_image(engine, image_id[:19]) == [
                    {"Untagged": "small:latest"},
                    {"Deleted": image_id},
                ]

                assert not list(engine.content.list())
                assert not list(engine.snapshots.walk())
                assert actions(engine, "image")[-3:] == ["untag", "untag", "delete"]

        asyncio.run(scenario())

    def test_containers_keep_it(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                container_id = await make(engine)
                image_id = str(find_image(engine, "small").target.digest)
                short = image_id[7:19]

                with pytest.raises(Conflict) as by_name:
                    await remove_image(engine, "small")
                with pytest.raises(Conflict) as by_id:
                    await remove_image(engine, image_id)
                await start_container(engine, "box")
                with pytest.raises(Conflict) as running:
                    await remove_image(engine, image_id, force=True)

                assert str(by_name.value) == (
                    'conflict: unable to remove repository reference "small:latest" (must force) - container '
                    f"{container_id[:12]} is using its referenced image {short}"
                )
                assert str(by_id.value) == (
                    f"conflict: unable to delete {short} (must be forced) - image is being used by stopped "
                    f"container {container_id[:12]}"
                )
                assert "(cannot be forced) - image is being used by running container" in str(running.value)

        asyncio.run(scenario())

    def test_forced_by_name_it_stays_for_its_container(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine)

                assert await remove_image(engine, "small", force=True) == [{"Untagged": "small:latest"}]

                await start_container(engine, "box")
                assert await tags(engine) == [[]]
                await remove_container(engine, "box", force=True)
                await prune_images(engine, {})
                assert await tags(engine) == []

        asyncio.run(scenario())


class TestStreams:
    def test_saved_images_are_loaded_again(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                archive = b"".join([piece async for piece in await save_images(engine, ["small"])])
                image_id = str(find_image(engine, "small").target.digest)
                await remove_image(engine, "small")

                records = [record async for record in load_images(engine, io.BytesIO(archive), quiet=True)]

                assert records == [{"stream": "Loaded image: small:latest\n"}]
                assert str(find_image(engine, "small").target.digest) == image_id

        asyncio.run(scenario())

    def test_what_fails_first_is_raised(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                with pytest.raises(NotFound, match="No such image: nope"):
                    await save_images(engine, ["nope"])
                with pytest.raises(NotFound, match="An image does not exist locally with the tag: nope"):
                    await anext(push_image(engine, "nope"))
                with pytest.raises(NotFound, match="tag does not exist: nope:1"):
                    await anext(push_image(engine, "nope", tag="1"))
                with pytest.raises(InvalidArgument):
                    await anext(load_images(engine, io.BytesIO(b"not an archive")))

        asyncio.run(scenario())
