"""A docker-archive around one compressed layer, as `docker save` of a pulled image would be."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path


def docker_archive(layer: Path, target: Path, name: str) -> Path:
    """Write `target`: manifest.json, the config and the layer, tagged `name`."""
    diff_id = hashlib.sha256()
    with gzip.open(layer) as file:
        while chunk := file.read(1 << 20):
            diff_id.update(chunk)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["bash"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id.hexdigest()}"]},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "bench"}],
            "created": "2026-01-01T00:00:00Z",
        }
    ).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    entry = {"Config": config_name, "RepoTags": [name], "Layers": ["layer/layer.tar"]}
    manifest = json.dumps([entry]).encode()
    with tarfile.open(target, "w") as tar:
        for member, data in ((config_name, config), ("manifest.json", manifest)):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        tar.add(layer.resolve(), "layer/layer.tar")
    return target
