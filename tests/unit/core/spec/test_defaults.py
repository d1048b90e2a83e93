"""The default document, against Docker's table."""

from wherry.core.spec import MASKED_PATHS, READONLY_PATHS, default_linux_spec


def test_namespaces_differ_by_cgroup_version_and_kernel() -> None:
    on_v2 = default_linux_spec(cgroup_namespace=True)["linux"]["namespaces"]
    on_v1 = default_linux_spec(cgroup_namespace=False, time_namespace=False)["linux"]["namespaces"]

    assert [entry["type"] for entry in on_v2] == ["mount", "network", "uts", "pid", "ipc", "time", "cgroup"]
    assert [entry["type"] for entry in on_v1] == ["mount", "network", "uts", "pid", "ipc"]


def test_mounts_and_their_options() -> None:
    mounts = {m["destination"]: m for m in default_linux_spec(cgroup_namespace=True)["mounts"]}

    assert list(mounts) == ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"]
    assert mounts["/sys"]["options"] == ["nosuid", "noexec", "nodev", "ro"]
    assert mounts["/dev"]["options"] == ["nosuid", "strictatime", "mode=755", "size=65536k"]
    assert mounts["/dev/shm"]["options"][-2:] == ["mode=1777", "size=67108864"]


def test_devices_are_denied_first() -> None:
    rules = default_linux_spec(cgroup_namespace=True)["linux"]["resources"]["devices"]

    assert rules[0] == {"allow": False, "access": "rwm"}
    assert {(r["major"], r["minor"]) for r in rules if r["allow"]} == {
        (1, 3),
        (1, 5),
        (1, 8),
        (1, 9),
        (5, 0),
        (5, 1),
    }


def test_inheritable_and_ambient_capabilities_are_empty() -> None:
    sets = default_linux_spec(cgroup_namespace=True)["process"]["capabilities"]

    assert set(sets) == {"bounding", "effective", "permitted"}
    assert all(len(names) == 14 for names in sets.values())


def test_each_call_gives_a_document_of_its_own() -> None:
    first = default_linux_spec(cgroup_namespace=True)
    first["mounts"].clear()
    first["linux"]["maskedPaths"].clear()

    second = default_linux_spec(cgroup_namespace=True)

    assert second["mounts"]
    assert second["linux"]["maskedPaths"] == list(MASKED_PATHS)
    assert second["linux"]["readonlyPaths"] == list(READONLY_PATHS)
