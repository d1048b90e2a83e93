"""Marks for tests that need what many hosts lack and the virtual machine of `vm.sh` has.

A marked test runs wherever its need is met.  Where it is not, the test is skipped with the reason, and
`test_in_vm.py` runs it in the virtual machine, with the packages of the checkout's virtual environment.
"""

import os

import pytest

from wherry.linux import cgroupfs

needs_cgroup_v2 = [
    pytest.mark.vm,
    pytest.mark.skipif(cgroupfs.layout().version != 2, reason="needs cgroup v2: runs in the virtual machine"),
]
needs_systemd = [
    *needs_cgroup_v2,
    pytest.mark.skipif(
        not os.path.isdir("/run/systemd/system"), reason="needs systemd: runs in the virtual machine"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for containers"),
]
# Runs on the host, and again in the virtual machine for what differs there.
anywhere = [pytest.mark.vm]
