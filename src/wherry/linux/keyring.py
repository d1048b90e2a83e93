"""Kernel keyrings: each container gets a session keyring of its own."""

from __future__ import annotations

from wherry.linux.libc import NR, path_bytes, syscall

_KEYCTL_JOIN_SESSION_KEYRING = 1


def join_session_keyring(name: str | None) -> int:
    """Join the session keyring `name`, making it if need be; None makes one without a name.

    Returns its serial number.

    Raises:
        OSError: ENOSYS without keyrings in the kernel, EDQUOT over the user's quota, EACCES.

    Spec: keyctl_join_session_keyring(3).
    """
    description = None if name is None else path_bytes(name)
    return syscall("keyctl", NR["keyctl"], _KEYCTL_JOIN_SESSION_KEYRING, description)
