"""What a shim may import late, imported early: after the fork there is nothing to import from.

Modules imported inside functions elsewhere, for programs that may never need them, are listed here; a test
compares the list with the source.
"""

from __future__ import annotations

import math

from wherry.linux import seccomp as seccomp_call
from wherry.runtime import launch, seccomp, seccomp_compiler
from wherry.runtime.cgroups import stats, v1, v2

__all__ = ["launch", "math", "seccomp", "seccomp_call", "seccomp_compiler", "stats", "v1", "v2"]

try:
    import _sha2 as sha256  # type: ignore[import-not-found]
except ImportError:  # before Python 3.12
    import _sha256 as sha256  # type: ignore[import-not-found]

__all__ += ["sha256"]
