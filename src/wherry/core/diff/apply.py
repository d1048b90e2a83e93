"""Applying a layer: decompressed and hashed on one thread while another makes the files."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from wherry.core.snapshots import Snapshotter
from wherry.errors import DataLoss
from wherry.files.decompress import open_compressed
from wherry.files.pipeline import ReadAhead
from wherry.files.tar import Limits, extract_layer
from wherry.files.trees import DIRECTORY
from wherry.oci.digest import Digest, new_hasher

if TYPE_CHECKING:
    from wherry.files.tar.reader import Readable


class DiffIdMismatch(DataLoss):
    """The layer's uncompressed bytes are not those that the image config names."""

    def __init__(self, found: Digest, expected: Digest) -> None:
        super().__init__(f"wrong diff id calculated on extraction {found}, expected {expected}")
        self.found = found
        self.expected = expected


def apply(
    snapshots: Snapshotter,
    key: str,
    layer: Readable,
    *,
    compression: str | None = None,
    diff_id: Digest | None = None,
    limits: Limits | None = None,
) -> Digest:
    """Extract `layer` into the active snapshot `key` and return its diff ID.

    `compression` is what the media type promises; None takes what the first bytes tell.  After
    a failure the snapshot holds a part of the layer, and the caller removes it.

    Raises:
        DiffIdMismatch: the bytes are not those of `diff_id`.
        MalformedArchive, ExtractionFailed, DecompressionFailed: the layer cannot be extracted.
        ResourceExhausted: the disk is full.
    """
    hasher = diff_id.hasher() if diff_id else new_hasher()
    with ExitStack() as stack:
        root_fd = os.open(snapshots.upper(key), DIRECTORY)
        stack.callback(os.close, root_fd)
        lowers = []
        for lower in snapshots.lowers(key):
            lowers.append(os.open(lower, DIRECTORY))
            stack.callback(os.close, lowers[-1])
        ahead = stack.enter_context(ReadAhead(open_compressed(layer, compression), hasher))
        extract_layer(ahead, root_fd, whiteouts=snapshots.whiteouts, lowers=tuple(lowers), limits=limits)
        while ahead.read():
            pass  # what stands behind the archive's end belongs to the diff ID
    found = Digest(f"{hasher.name}:{hasher.hexdigest()}")
    if diff_id is not None and found != diff_id:
        raise DiffIdMismatch(found, diff_id)
    return found
