"""The numbers of v1 as v2 counts them.

Spec: OCI runtime-spec, config-linux-cgroupv2 conversions as runc 1.5 makes them.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument

UNLIMITED = -1


def cpu_weight(shares: int) -> int:
    """The cpu.weight (1..10000) of v1's cpu.shares (2..262144); 0 stays 0: unset.

    The curve maps the default onto the default: 1024 shares are weight 100.
    """
    if shares == 0:
        return 0
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    import math  # a shared object that most containers never need

    logarithm = math.log2(shares)
    return math.ceil(math.pow(10, (logarithm * logarithm + 125 * logarithm) / 612 - 7 / 34))


def io_weight(blkio_weight: int) -> int:
    """The io.weight (1..10000) of v1's blkio.weight (10..1000); 0 stays 0: unset."""
    return 1 + (blkio_weight - 10) * 9999 // 990 if blkio_weight else 0


def swap_max(limit: int, swap: int) -> str | None:
    """The memory.swap.max of v1's total of memory and swap; None leaves it as it is.

    Raises:
        InvalidArgument: a total without a limit, or below it.
    """
    if swap == 0:
        return "max" if limit == UNLIMITED else None
    if swap == UNLIMITED:
        return "max"
    if limit in (0, UNLIMITED):
        raise InvalidArgument("memory swap limit needs a memory limit")
    if swap < limit:
        raise InvalidArgument(f"memory swap limit {swap} is below the memory limit {limit}")
    return str(swap - limit)


def maximum(value: int) -> str:
    """`value` as v2 writes a limit: a negative one is `max`."""
    return "max" if value < 0 else str(value)


def pids_maximum(value: int) -> str:
    """A pids limit as the kernel takes it: negative is none, and 0 becomes 1, the least that starts."""
    return "max" if value < 0 else str(max(value, 1))


def page_size_name(page_size: str) -> str:
    """`page_size` (such as `2MB`) as part of a hugetlb file's name.

    Raises:
        InvalidArgument: for what is not a size.
    """
    if not page_size.isalnum():
        raise InvalidArgument(f"invalid huge page size {page_size!r}")
    return page_size
