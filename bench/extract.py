"""Extraction of a layer: GNU tar's `tar -xzf` beside ours, with the diff ID taken on the way."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import time
from pathlib import Path

from bench.cases import Result
from bench.measure import interleave
from wherry.files.decompress import open_compressed
from wherry.files.pipeline import ReadAhead
from wherry.files.tar import extract_layer

SOURCES = ("/usr/share/doc", "/usr/share/perl5", "/usr/sbin")


def extraction(rounds: int) -> Result:
    """Seconds to extract a gzip'd layer of this system's own files.

    Every round has a directory of its own, removed only at the end: ext4 looks long for an
    inode where many were freed within the last minute, and would measure that.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
        archive = Path(work) / "layer.tar.gz"
        subprocess.run(["tar", "-czf", archive, *SOURCES], stderr=subprocess.DEVNULL, check=True)
        turns = iter(range(1_000_000))

        def place() -> str:
            path = f"{work}/{next(turns)}"
            os.mkdir(path)
            return path

        contestants = {
            "GNU tar -xzf": lambda: _gnu(archive, place()),
            "wherry, with the diff ID": lambda: _ours(archive, place()),
        }
        series = interleave(contestants, rounds)
    return Result("extract a layer", "s", "GNU tar -xzf", series, "≤ 1.0 × GNU tar")


def _gnu(archive: Path, place: str) -> float:
    started = time.perf_counter()
    subprocess.run(["tar", "-xzf", archive, "-C", place], check=True)
    return time.perf_counter() - started


def _ours(archive: Path, place: str) -> float:
    started = time.perf_counter()
    root = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with archive.open("rb") as file, ReadAhead(open_compressed(file), hashlib.sha256()) as layer:
            extract_layer(layer, root, whiteouts="plain")
            while layer.read():
                pass
    finally:
        os.close(root)
    return time.perf_counter() - started
