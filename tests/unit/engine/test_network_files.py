"""The files a container gets for its network."""

from wherry.engine.network_files import hosts_file, resolv_conf

HOST = "# comment\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch lan example\noptions edns0\n"


def test_loopback_servers_stay_with_the_host() -> None:
    assert resolv_conf(HOST) == "nameserver 9.9.9.9\nsearch lan example\noptions edns0\n"
    assert resolv_conf(HOST, shares_host_network=True) == HOST


def test_what_was_asked_for_replaces_what_the_host_has() -> None:
    text = resolv_conf(HOST, servers=["1.1.1.1"], search=["."], options=["ndots:2"], shares_host_network=True)

    assert text == "nameserver 1.1.1.1\noptions ndots:2\n"


def test_hosts() -> None:
    text = hosts_file(["db:10.0.0.1", "v6=[::2]"])

    assert text.startswith("127.0.0.1\tlocalhost\n")
    assert text.endswith("10.0.0.1\tdb\n::2\tv6\n")
    assert hosts_file(["a:1.2.3.4"], host_file="1.1.1.1 x") == "1.1.1.1 x\n1.2.3.4\ta\n"
