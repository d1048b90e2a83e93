"""Metadata: one SQLite database for the records of every store.

Reads happen on the caller's thread and never wait (WAL).  Writes go to one writer thread
that groups those that wait into one commit, so ten starts at once cost one fsync.  A write is
a function of the connection; it holds no file operation and no wait, and either all of it
happens or nothing.  When `write` returns, the change is on the disk.
"""

from wherry.core.metadata.database import Metadata, MetadataCorrupt, Schema

__all__ = ["Metadata", "MetadataCorrupt", "Schema"]
