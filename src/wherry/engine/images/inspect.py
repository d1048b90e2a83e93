"""Looking at one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.engine.images.find import find_image, resolve_image
from wherry.engine.images.manifests import manifests_to_wire
from wherry.engine.images.names import repo_digests, repo_tags, unpacked_size
from wherry.engine.images.platforms import platform_from_query
from wherry.engine.times import rfc3339

if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.engine.images.cache import ResolvedImage
    from wherry.engine.images.find import FoundImage

_CONFIG_MEMBERS = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
    "ArgsEscaped", "Healthcheck", "OnBuild", "Shell",
)  # fmt: skip


async def inspect_image(
    engine: Engine,
    reference: str,
    *,
    platform: str | None = None,
    manifests: bool = False,
    version: tuple[int, int] = (1, 56),
) -> dict[str, Any]:
    """Everything about an image, shaped for `version`.

    Raises:
        NotFound: no such image, or not for this platform.
    """
    found = find_image(engine, reference)
    image = await resolve_image(engine, found, platform=platform_from_query(platform), name=reference)
    wire = _identity(found, image, version) | {
        "Size": image.layers_size + await engine.threads.disk(unpacked_size, engine, image),
        "GraphDriver": {"Name": engine.snapshots.name, "Data": None},
        "RootFS": {"Type": "layers", "Layers": [str(diff_id) for diff_id in image.config.diff_ids]},
        "Metadata": {"LastTagTime": rfc3339(max(name.updated_at_ns for name in found.names))},
    }
    if version < (1, 44):
        wire["VirtualSize"] = wire["Size"]
    if version >= (1, 48):
        wire["Descriptor"] = found.target.to_dict()
        if manifests:
            wire["Manifests"] = await engine.threads.disk(manifests_to_wire, engine, found.target)
    return wire


def _identity(found: FoundImage, image: ResolvedImage, version: tuple[int, int]) -> dict[str, Any]:
    config = image.config
    history = config.history
    wire: dict[str, Any] = {
        "Id": str(found.target.digest),
        "RepoTags": repo_tags(found),
        "RepoDigests": repo_digests(found),
        "Parent": "",
        "Comment": str(history[-1].get("comment", "")) if history else "",
        "Created": config.created,
        "DockerVersion": "",
        "Author": config.author,
        "Config": _config(config.process, version),
        "Architecture": config.platform.architecture,
        "Os": config.platform.os,
    }
    if config.platform.variant:
        wire["Variant"] = config.platform.variant
    return wire


def _config(process: dict[str, Any], version: tuple[int, int]) -> dict[str, Any]:
    """The image's config object; below 1.50 with the members that only a container has."""
    config = {name: process[name] for name in _CONFIG_MEMBERS if process.get(name)}
    if version >= (1, 50):
        return config
    return {
        "Hostname": "",
        "Domainname": "",
        "User": "",
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": None,
        "Cmd": None,
        "Image": "",
        "Volumes": None,
        "WorkingDir": "",
        "Entrypoint": None,
        "OnBuild": None,
        "Labels": None,
    } | config
