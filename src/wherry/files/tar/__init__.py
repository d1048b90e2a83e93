"""Tar archives: a strict reader, an extractor that cannot leave its root, and a deterministic writer.

Archives come from whoever made the image.  There is one parser, so that nobody sees other
entries than the one who checked them, and what could be read in two ways is refused.  Names
are bytes, as in the file system.

Spec: POSIX pax; GNU tar manual, Basic Tar Format and Storing Sparse Files; image-spec, layer.md.
"""

from wherry.files.tar.entry import Entry, Limits, MalformedArchive
from wherry.files.tar.extract import Extraction, ExtractionFailed, extract_layer
from wherry.files.tar.reader import TarReader
from wherry.files.tar.tree import write_tree
from wherry.files.tar.writer import TarWriter

__all__ = [
    "Entry",
    "Extraction",
    "ExtractionFailed",
    "Limits",
    "MalformedArchive",
    "TarReader",
    "TarWriter",
    "extract_layer",
    "write_tree",
]
