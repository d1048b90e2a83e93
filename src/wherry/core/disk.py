"""The data root's disk: what its failures mean to whoever asked for something to be stored."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from wherry.errors import DataLoss, ResourceExhausted, Unavailable

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def disk_failures(what: str) -> Iterator[None]:
    """Raise a full or failing disk as its kind, with `what` could not be done.

    Raises:
        ResourceExhausted: no space or no quota is left.
        DataLoss: the disk cannot read or write.
        Unavailable: the file system was made read-only.
    """
    try:
        yield
    except OSError as error:
        text = f"{what}: {os.strerror(error.errno or 0).lower()}"
        if error.errno in _FULL:
            raise ResourceExhausted(text) from error
        if error.errno == errno.EIO:
            raise DataLoss(text) from error
        if error.errno == errno.EROFS:
            raise Unavailable(text) from error
        raise
