"""Images whose content no store has yet: each one is made anew, from random bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import urllib.request

RANDOM_BYTES = 300_000


def unique_tar(size_bytes: int = RANDOM_BYTES) -> bytes:
    """A tar with one file of random bytes."""
    return tar_of({"file": os.urandom(size_bytes)})


def unique_archive(name: str) -> bytes:
    """An archive as `docker save` once made them, of one image with one layer."""
    layer = unique_tar()
    index = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    return tar_of(
        {"config.json": config_of(layer), "layer.tar": layer, "manifest.json": json.dumps(index).encode()}
    )


def push_unique(registry: str, repository: str, tag: str, *, size_bytes: int = RANDOM_BYTES) -> str:
    """Put an image into the registry at `registry`, past any engine; returns its reference."""
    layer = unique_tar(size_bytes)
    blobs = {"config": config_of(layer), "layer": gzip.compress(layer, 1)}
    kinds = {"config": "container.image.v1+json", "layer": "image.rootfs.diff.tar.gzip"}
    described = {}
    for part, data in blobs.items():
        described[part] = {
            "mediaType": f"application/vnd.docker.{kinds[part]}",
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "size": len(data),
        }
        upload(f"http://{registry}/v2/{repository}/blobs/uploads/", described[part]["digest"], data)
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = {
        "schemaVersion": 2, "mediaType": kind, "config": described["config"], "layers": [described["layer"]],
    }  # fmt: skip
    put(f"http://{registry}/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), kind)
    return f"{registry}/{repository}:{tag}"


def upload(uploads: str, digest: object, data: bytes) -> None:
    """Upload a blob in two requests, as the distribution specification has it."""
    with urllib.request.urlopen(urllib.request.Request(uploads, method="POST"), timeout=10) as answer:
        location = answer.headers["Location"]
    put(f"{location}{'&' if '?' in location else '?'}digest={digest}", data, "application/octet-stream")


def put(url: str, data: bytes, kind: str) -> None:
    wanted = urllib.request.Request(url, data=data, method="PUT", headers={"Content-Type": kind})
    urllib.request.urlopen(wanted, timeout=10).close()


def config_of(layer: bytes) -> bytes:
    return json.dumps(
        {
            "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
            "os": "linux",
            "config": {"Cmd": ["true"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
