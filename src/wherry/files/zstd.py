"""Zstandard: the standard library's module from Python 3.14 on, its backport before."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdCompressor, ZstdError, ZstdFile, compress
else:
    from backports.zstd import ZstdCompressor, ZstdError, ZstdFile, compress

__all__ = ["ZstdCompressor", "ZstdError", "ZstdFile", "compress"]
