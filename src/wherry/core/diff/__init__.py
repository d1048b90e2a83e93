"""Diffs: from a layer to a snapshot, and from a snapshot to a layer.

`apply` extracts a layer into an active snapshot and tells its diff ID; `changes` lists what a
snapshot changed of its parent; `write_diff` writes that as a layer.
"""

from wherry.core.diff.apply import DiffIdMismatch, apply
from wherry.core.diff.compare import Change, changes, write_diff

__all__ = ["Change", "DiffIdMismatch", "apply", "changes", "write_diff"]
