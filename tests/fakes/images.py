"""Small images in a content store, made of dictionaries of files."""

from __future__ import annotations

import gzip

from tests.fakes.archives import write

from wherry.core.content import ContentStore
from wherry.files import json
from wherry.files.tar import Entry
from wherry.files.zstd import compress
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest, digest_of
from wherry.oci.image_config import ImageConfig
from wherry.oci.manifest import Manifest
from wherry.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST

PLATFORM = {"architecture": "amd64", "os": "linux"}


def layer_tar(files: dict[str, str]) -> bytes:
    """A layer with `files`: a name that ends with a slash is a directory."""
    return write(
        (Entry(name.encode(), b"5" if name.endswith("/") else b"0", mode=0o755), text.encode())
        for name, text in files.items()
    )


def put(content: ContentStore, media_type: str, data: bytes) -> Descriptor:
    """Store `data`."""
    descriptor = Descriptor(media_type, digest_of(data), len(data))
    with content.ingest(descriptor.digest, descriptor) as blob:
        if blob.offset == 0:
            blob.write(data)
    return descriptor


def put_layer(
    content: ContentStore, files: dict[str, str], compression: str = "gzip"
) -> tuple[Descriptor, Digest]:
    """Store a layer; returns its descriptor and its diff ID."""
    tar = layer_tar(files)
    media_type, data = {
        "gzip": lambda: (OCI_LAYER_GZIP, gzip.compress(tar, mtime=0)),
        "zstd": lambda: (OCI_LAYER_ZSTD, compress(tar)),
        "": lambda: (OCI_LAYER, tar),
    }[compression]()
    return put(content, media_type, data), digest_of(tar)


class FakeImage:
    """An image whose layers hold what each dictionary says."""

    def __init__(self, content: ContentStore, *layers: dict[str, str], compression: str = "gzip") -> None:
        stored = [put_layer(content, files, compression) for files in layers]
        config = {
            **PLATFORM,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in stored]},
        }
        self.config_descriptor = put(content, OCI_CONFIG, json.dumps(config).encode())
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.config_descriptor.to_dict(),
            "layers": [layer.to_dict() for layer, _ in stored],
        }
        self.layers = tuple(layer for layer, _ in stored)
        self.target = put(content, OCI_MANIFEST, json.dumps(document).encode())
        self.manifest = Manifest.parse(json.dumps(document).encode())
        self.config = ImageConfig.parse(json.dumps(config).encode())
