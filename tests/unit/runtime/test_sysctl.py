"""Which kernel parameters a container may set."""

import pytest

from wherry.runtime.failures import InvalidSpec
from wherry.runtime.plan import Namespaces
from wherry.runtime.sysctl import path_of

ALL = Namespaces([{"type": kind} for kind in ("mount", "network", "ipc", "uts", "user")])
NONE = Namespaces([{"type": "mount"}])


@pytest.mark.parametrize(
    "key",
    [
        "kernel.core_pattern",
        "vm.overcommit_memory",
        "kernel.shm_rmid_forced=1+kernel.core_pattern",
        "net.ipv4/../../kernel.core_pattern",
        "net..ipv4",
        "net/../kernel/core_pattern",
        "/net/ipv4/ip_forward",
        "net.ipv4.ip_forward\n",
        "net.ipv4.ip_forward x",
        "",
        "kernel.hostname",
        "fs.file-max",
    ],
)
def test_parameters_of_the_host_and_tricks_are_refused(key: str) -> None:
    with pytest.raises(InvalidSpec):
        path_of(key, ALL)


@pytest.mark.parametrize(
    "key", ["net.ipv4.ip_forward", "kernel.msgmax", "fs.mqueue.msg_max", "kernel.domainname"]
)
def test_a_parameter_is_set_only_in_a_namespace_of_ones_own(key: str) -> None:
    assert path_of(key, ALL) == key.replace(".", "/")
    with pytest.raises(InvalidSpec):
        path_of(key, NONE)


def test_a_slash_stands_for_a_dot_where_dots_separate() -> None:
    assert path_of("net.ipv4.conf.eth0/100.mtu", ALL) == "net/ipv4/conf/eth0.100/mtu"
    assert path_of("net/ipv4/conf/eth0.100/mtu", ALL) == "net/ipv4/conf/eth0.100/mtu"
