"""dockerd's words on the command line and in the file, and what is said about wrong ones."""

import json
from pathlib import Path

import pytest

from wherry.daemon import config, options
from wherry.daemon.main import main
from wherry.errors import InvalidArgument


class TestFlags:
    @pytest.mark.parametrize(
        "words",
        [
            ["--host", "unix:///a", "-H", "unix:///b", "-D"],
            ["--host=unix:///a", "-Hunix:///b", "--debug"],
            ["-H=unix:///a", "--host=unix:///b", "--debug=true"],
        ],
    )
    def test_every_spelling_is_read(self, words: list[str]) -> None:
        assert options.parse_flags(words) == {"host": ["unix:///a", "unix:///b"], "debug": True}

    def test_a_boolean_can_be_false(self) -> None:
        assert options.parse_flags(["--tls=false"]) == {"tls": False}

    def test_a_map_and_a_size_are_read(self) -> None:
        words = ["--log-opt", "max-size=1m", "--log-opt=max-file=3", "--default-shm-size", "1g"]

        assert options.parse_flags(words) == {
            "log-opt": {"max-size": "1m", "max-file": "3"},
            "default-shm-size": 1 << 30,
        }

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (["--nope"], "unknown flag: --nope"),
            (["-Z"], "unknown shorthand flag: 'Z' in -Z"),
            (["--data-root"], "flag needs an argument: --data-root"),
            (["foo"], '"wherryd" accepts no argument(s)'),
            (["--debug=x"], 'invalid argument "x" for "-D, --debug" flag: parsing "x": invalid syntax'),
            (["--idle-exit-s", "soon"], 'invalid argument "soon" for "--idle-exit-s" flag'),
            (["--log-opt", "x"], 'invalid argument "x" for "--log-opt" flag: invalid key-value: x'),
            (["--default-shm-size", "-1"], 'invalid argument "-1"'),
        ],
    )
    def test_a_wrong_word_is_named(self, words: list[str], text: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            options.parse_flags(words)

        assert str(caught.value).startswith(text)
        assert caught.value.hint == "See 'wherryd --help'."

    def test_the_help_names_every_option_once(self) -> None:
        lines = options.usage().splitlines()

        for option in options.OPTIONS:
            assert sum(f"--{option.name} " in line[:40] for line in lines) == 1


class TestFile:
    def test_the_plural_names_are_read(self) -> None:
        document = {
            "hosts": ["unix:///a"],
            "labels": ["a=b"],
            "insecure-registries": ["r:5000"],
            "log-opts": {"max-size": "1m"},
            "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 2048, "Soft": 1024}},
            "default-shm-size": "64M",
        }

        assert options.parse_file(json.dumps(document).encode()) == {
            "host": ["unix:///a"],
            "label": ["a=b"],
            "insecure-registry": ["r:5000"],
            "log-opt": {"max-size": "1m"},
            "default-ulimit": ["nofile=1024:2048"],
            "default-shm-size": 64 << 20,
        }

    def test_every_unknown_name_is_named(self) -> None:
        with pytest.raises(InvalidArgument) as caught:
            options.parse_file(b'{"debug": true, "debgu": true, "host": []}')

        assert str(caught.value) == (
            "the following directives don't match any configuration option: debgu, host"
        )

    @pytest.mark.parametrize("document", [b"{", b"[]", b'{"debug": "yes"}', b'{"hosts": "x"}'])
    def test_what_does_not_fit_is_refused(self, document: bytes) -> None:
        with pytest.raises(InvalidArgument, match="invalid"):
            options.parse_file(document)

    def test_an_option_in_both_places_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "daemon.json"
        file.write_text('{"debug": false, "hosts": ["unix:///a"]}')
        flags = options.parse_flags(["--config-file", str(file), "-D", "-H", "unix:///b"])

        with pytest.raises(InvalidArgument) as caught:
            config.load(flags)

        assert str(caught.value) == (
            "the following directives are specified both as a flag and in the configuration file: "
            "debug: (from flag: true, from file: false), "
            "host: (from flag: [unix:///b], from file: [unix:///a])"
        )

    def test_a_file_that_was_named_must_be_there(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgument, match="no such file"):
            config.load({"config-file": str(tmp_path / "nope")})


class TestConfig:
    @staticmethod
    def load(*words: str) -> config.Config:
        return config.load(options.parse_flags(words))

    def test_a_pidfile_stands_in_the_exec_root(self) -> None:
        assert self.load("--exec-root", "/run/other").pidfile == Path("/run/other/wherryd.pid")

    def test_a_profile_changes_its_defaults_and_nothing_that_was_given(self) -> None:
        assert self.load("--profile", "wherry").log_options == {"max-size": "20m", "max-file": "5"}
        assert self.load("--profile", "wherry", "--log-opt", "max-size=1m").log_options == {"max-size": "1m"}
        assert self.load().log_options == {}

    def test_tls_changes_the_default_port_and_verify_asks_for_certificates(self) -> None:
        plain = self.load("-H", "tcp://")
        checked = self.load("-H", "tcp://", "--tlsverify")

        assert str(plain.addresses[0]) == "tcp://127.0.0.1:2375"
        assert str(checked.addresses[0]) == "tcp://127.0.0.1:2376"
        assert checked.tls
        assert checked.tls.client_ca

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (["--profile", "x"], "unknown profile x"),
            (["-l", "loud"], "unable to parse logging level: loud"),
            (["-H", "ftp://x"], "invalid bind address (ftp://x)"),
            (["-H", "tcp://x:99999"], "invalid bind address (tcp://x:99999)"),
            (["-s", "zfs"], "unknown storage driver zfs"),
            (["--label", "x"], "bad attribute format: x"),
            (
                ["--default-ulimit", "nofile=3:2"],
                "invalid value 'nofile=3:2' for default-ulimit: expected NAME=SOFT[:HARD] with a soft limit",
            ),
            (["--default-ipc-mode", "x"], "invalid value 'x' for default-ipc-mode"),
            (
                ["--max-concurrent-downloads", "0"],
                "invalid value '0' for max-concurrent-downloads: expected 1",
            ),
            (["--log-driver", "syslog"], "invalid value 'syslog' for log-driver: expected one of json-file"),
            (
                ["--log-opt", "foo=bar"],
                "invalid value 'foo=bar' for log-opt: expected an option of json-file",
            ),
            (["--log-opt", "max-file=0"], "invalid value 'max-file=0' for log-opt: expected an option of"),
            (
                ["--insecure-registry", "10.0.0.0/99"],
                "invalid value '10.0.0.0/99' for insecure-registry: expe",
            ),
            (
                ["--insecure-registry", "http://a"],
                "invalid value 'http://a' for insecure-registry: expected HO",
            ),
            (
                ["--insecure-registry", "a:b"],
                "invalid value 'a:b' for insecure-registry: expected HOST[:PORT]",
            ),
            (["--default-ulimit", "bogus=1"], "invalid value 'bogus=1' for default-ulimit: expected NAME="),
            (["--default-ulimit", "nofile"], "invalid value 'nofile' for default-ulimit: expected NAME="),
            (
                ["--default-ulimit", "nofile=-7"],
                "invalid value 'nofile=-7' for default-ulimit: expected NAME=",
            ),
            (["--dns", "notanip"], "invalid value 'notanip' for dns: expected an IP address"),
            (["--dns-opt", "a b"], "invalid value 'a b' for dns-opt: expected one word"),
            (["--dns-search", "a\nb"], "invalid value 'a\\nb' for dns-search: expected one word"),
            (
                ["--registry-mirror", "foo"],
                "invalid value 'foo' for registry-mirror: expected http://HOST[:POR",
            ),
            (
                ["--registry-mirror", "https://a/b"],
                "invalid value 'https://a/b' for registry-mirror: expected",
            ),
            (
                ["--seccomp-profile", "/nope"],
                "invalid value '/nope' for seccomp-profile: expected a file with",
            ),
            (["--seccomp-profile", "/dev/null"], "invalid value '/dev/null' for seccomp-profile: expected a"),
            (["--shutdown-timeout", "-1"], "invalid value '-1' for shutdown-timeout: expected 0 or more"),
            (["--idle-exit-s", "-1"], "invalid value '-1' for idle-exit-s: expected 0 or more"),
        ],
    )
    def test_a_value_that_cannot_be_is_named(self, words: list[str], text: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            self.load(*words)

        assert str(caught.value).startswith(text)

    @pytest.mark.parametrize(
        "words",
        [
            ["--log-driver", "none", "--log-opt", "max-size=1m"],
            ["--insecure-registry", "10.1.2.3/8", "--insecure-registry", "a.example:5000"],
            ["--insecure-registry", "::1/128", "--insecure-registry", "[::1]:5000"],
            ["--default-ulimit", "nofile=1:2", "--default-ulimit", "core=-1"],
            ["--dns", "fe80::1", "--dns-opt", "ndots:2", "--dns-search", "a.example"],
            ["--registry-mirror", "http://127.0.0.1:5000", "--registry-mirror", "https://a.example/"],
            ["--seccomp-profile", "builtin", "--shutdown-timeout", "0"],
        ],
    )
    def test_what_can_be_is_taken(self, words: list[str]) -> None:
        assert self.load(*words)

    def test_a_directory_that_is_gone_is_no_hindrance(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()

        assert main(["--validate"]) == 0

        assert capsys.readouterr().out == "configuration OK\n"

    def test_every_path_is_from_the_directory_the_daemon_was_started_in(self, tmp_path: Path) -> None:
        (tmp_path / "p.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        (tmp_path / "d.json").write_text('{"seccomp-profile": "p.json", "data-root": "data"}')
        words = ["--tlsverify", "--tlscacert=a", "--tlscert=b", "--tlskey=../c", "--config-file=d.json"]

        read = config.load(options.parse_flags([*words, "--pidfile", "pid"]), directory=tmp_path)

        assert read.tls == config.Tls(
            certificate=str(tmp_path / "b"), key=str(tmp_path.parent / "c"), client_ca=str(tmp_path / "a")
        )
        assert read.seccomp_profile == str(tmp_path / "p.json")
        assert (read.data_root, read.pidfile) == (tmp_path / "data", tmp_path / "pid")
