"""Bodies are read as Go's decoder reads them."""

import msgspec
import pytest

from wherry.api.types import (
    ContainerCreateRequest,
    ExecConfig,
    HostConfig,
    PortBinding,
    VolumeCreateRequest,
    decode,
    to_wire,
)
from wherry.errors import InvalidArgument


class TestFailures:
    @pytest.mark.parametrize("body", [b"", b"  \n"])
    def test_an_empty_body_is_named(self, body: bytes) -> None:
        with pytest.raises(InvalidArgument, match=r"^invalid JSON: got EOF while reading request body$"):
            decode(body, ExecConfig)

    def test_something_after_the_value_is_refused(self) -> None:
        with pytest.raises(InvalidArgument, match=r"^unexpected content after JSON$"):
            decode(b"{} {}", ExecConfig)

    @pytest.mark.parametrize(
        "body",
        [b"{", b"[]", b'"x"', b'{"Tty": "yes"}', b'{"Env": [1]}', b'{"Cmd": {}}', b"\xff", b"[" * 100_000],
    )
    def test_what_is_not_such_a_body_is_an_invalid_argument(self, body: bytes) -> None:
        with pytest.raises(InvalidArgument, match=r"^invalid JSON: "):
            decode(body, ExecConfig)

    def test_the_text_names_the_member(self) -> None:
        with pytest.raises(InvalidArgument, match=r"\$\.HostConfig\.Memory"):
            decode(b'{"HostConfig": {"Memory": "1g"}}', ContainerCreateRequest)


class TestReading:
    def test_keys_match_in_any_case(self) -> None:
        request = decode(b'{"image": "a", "HOSTCONFIG": {"networkmode": "host"}}', ContainerCreateRequest)

        assert request.image == "a"
        assert request.host_config.network_mode == "host"

    def test_null_means_not_given(self) -> None:
        request = decode(
            b'{"Env": null, "Tty": null, "HostConfig": null, "Labels": {"a": null}}', ContainerCreateRequest
        )

        assert (request.env, request.tty, request.labels) == (None, False, {"a": ""})
        assert request.host_config == HostConfig()

    def test_empty_is_not_null_where_it_matters(self) -> None:
        host = decode(b'{"MaskedPaths": [], "ReadonlyPaths": null}', HostConfig)

        assert (host.masked_paths, host.readonly_paths) == ([], None)

    def test_a_null_body_is_an_empty_one(self) -> None:
        assert decode(b"null", VolumeCreateRequest) == VolumeCreateRequest()

    def test_unknown_members_are_ignored(self) -> None:
        assert decode(b'{"Nope": 1}', ExecConfig) == ExecConfig()

    def test_a_command_may_be_one_string(self) -> None:
        assert decode(b'{"Cmd": "true", "Entrypoint": ["a"]}', ContainerCreateRequest).cmd == ["true"]

    def test_maps_of_structs_keep_their_keys(self) -> None:
        host = decode(b'{"PortBindings": {"80/tcp": [{"hostport": "8080"}], "81/tcp": null}}', HostConfig)

        assert host.port_bindings == {"80/tcp": [PortBinding(host_port="8080")], "81/tcp": None}

    def test_endpoints_are_read(self) -> None:
        request = decode(
            b'{"NetworkingConfig": {"EndpointsConfig": {"b": null,'
            b'"web": {"ipamconfig": {"ipv4address": "1.2.3.4"}}}}}',
            ContainerCreateRequest,
        )

        endpoints = request.networking_config.endpoints_config
        ipam = endpoints["web"].ipam_config
        assert ipam is not None
        assert ipam.ipv4_address == "1.2.3.4"
        assert set(endpoints) == {"web", "b"}

    def test_names_that_pascal_case_would_miss(self) -> None:
        host = decode(
            b'{"UTSMode": "host", "ContainerIDFile": "x", "BlkioDeviceReadIOps": [{"Path": "/d"}]}',
            HostConfig,
        )

        wire = to_wire(host)
        assert (wire["UTSMode"], wire["ContainerIDFile"]) == ("host", "x")
        assert wire["BlkioDeviceReadIOps"] == [{"Path": "/d", "Rate": 0}]
        assert wire["CgroupnsMode"] == ""

    def test_an_encoded_value_reads_back(self) -> None:
        request = decode(
            b'{"Image": "a", "Volumes": {"/v": null}, "HostConfig": {"Binds": ["/a:/b"]}}',
            ContainerCreateRequest,
        )

        assert request.volumes == {"/v": {}}
        assert decode(msgspec.json.encode(request), ContainerCreateRequest) == request
