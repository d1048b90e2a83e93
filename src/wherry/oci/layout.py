"""The image layout: a directory or archive that holds images.

    oci-layout            {"imageLayoutVersion": "1.0.0"}
    index.json            an index; each manifest may carry the name of its image
    blobs/<alg>/<hex>     everything that has a digest

Spec: image-spec, image-layout.md.
"""

from __future__ import annotations

from wherry.oci.digest import Digest, InvalidDigest
from wherry.oci.documents import InvalidDocument, parse_object, text_field

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
BLOBS = "blobs/"
LAYOUT_VERSION = "1.0.0"
LAYOUT_DOCUMENT = b'{"imageLayoutVersion":"1.0.0"}'

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"


def check_layout(data: bytes) -> None:
    """Check the document that marks a layout.

    Raises:
        InvalidDocument: not such a document, or of another major version.
    """
    version = text_field(parse_object(data, LAYOUT_FILE), "imageLayoutVersion", LAYOUT_FILE)
    if version.partition(".")[0] != "1":
        raise InvalidDocument(f"invalid {LAYOUT_FILE}: version {version}, expected {LAYOUT_VERSION}")


def blob_path(digest: Digest) -> str:
    """Where a layout holds the blob of `digest`."""
    return f"{BLOBS}{digest.algorithm}/{digest.hex}"


def blob_digest(path: str) -> Digest | None:
    """The digest whose blob `path` is, or None for any other path."""
    parts = path.split("/")
    if len(parts) != 3 or parts[0] != "blobs":
        return None
    try:
        return Digest(f"{parts[1]}:{parts[2]}")
    except InvalidDigest:
        return None
