"""Leases: what is held is kept, and what nobody gives back expires."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.core.leases import LeaseExists, LeaseNotFound, Leases, Resource, is_leased
from wherry.core.metadata import Metadata
from wherry.oci.digest import digest_of


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[Metadata]:
    metadata = Metadata(tmp_path / "metadata.db")
    yield metadata
    metadata.close()


@pytest.fixture
def leases(metadata: Metadata) -> Leases:
    return Leases(metadata)


def test_a_held_lease_keeps_what_is_added_until_the_block_ends(leases: Leases, metadata: Metadata) -> None:
    digest = digest_of(b"x")

    with leases.hold("moby") as lease:
        lease.add_content(digest)
        lease.add_content(digest)
        lease.add_snapshot("chain", "key")
        assert leases.resources() == {
            Resource("content", digest),
            Resource("snapshot", "chain"),
            Resource("snapshot", "key"),
        }
        assert is_leased(metadata.read(), "content", digest)
        assert not is_leased(metadata.read(), "snapshot", digest)

    assert leases.resources() == set()
    assert leases.list() == []


def test_a_lease_goes_also_when_the_block_fails(leases: Leases) -> None:
    with pytest.raises(KeyError), leases.hold("moby"):
        raise KeyError

    assert leases.list() == []


def test_two_leases_keep_a_resource_until_the_last_goes(leases: Leases) -> None:
    with leases.hold("moby") as first:
        first.add_snapshot("x")
        with leases.hold("k8s.io") as second:
            second.add_snapshot("x")

        assert leases.resources() == {Resource("snapshot", "x")}


def test_an_expired_lease_keeps_nothing_and_cannot_be_added_to(leases: Leases) -> None:
    with leases.hold("moby", expires_in_s=10) as lease:
        lease.add_snapshot("x")
        assert leases.expire(time.time_ns()) == 0

        assert leases.expire(time.time_ns() + 11 * 10**9) == 1

        assert leases.resources() == set()
        with pytest.raises(LeaseNotFound):
            lease.add_snapshot("y")


def test_a_lease_without_an_end_never_expires(leases: Leases) -> None:
    leases.create("moby", "forever", expires_in_s=None)

    assert leases.expire(2**62) == 0
    assert [lease.id for lease in leases.list("moby")] == ["forever"]


def test_an_id_is_taken_once_in_each_tenant(leases: Leases) -> None:
    leases.create("moby", "a", labels={"k": "v"})
    leases.create("k8s.io", "a")

    with pytest.raises(LeaseExists):
        leases.create("moby", "a")

    assert leases.list("moby")[0].labels == {"k": "v"}


def test_a_lease_is_found_again_after_a_restart(leases: Leases) -> None:
    leases.create("moby", "build")

    leases.hold_existing("moby", "build").add_snapshot("x")
    leases.delete("moby", "build")

    assert leases.resources() == set()
    for ask in (leases.delete, leases.hold_existing):
        with pytest.raises(LeaseNotFound):
            ask("moby", "build")
