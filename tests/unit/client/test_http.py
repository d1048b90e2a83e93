"""The HTTP client against peers that keep to the protocol, and against hostile ones."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.client.failures import ProtocolError
from wherry.client.http import HEAD_LIMIT_BYTES, Connection, query_string, quote


class Scripted:
    """A byte stream that gives `pieces` one by one and keeps what is sent."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.sent = b""

    def fileno(self) -> int:
        return -1

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def offer(self, data: memoryview) -> int:
        self.sendall(data)
        return len(data)

    def receive_into(self, buffer: memoryview) -> int | None:
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def blocked(self) -> bool:
        return False

    def buffered(self) -> bool:
        return False

    def shutdown_write(self) -> None: ...

    def close(self) -> None: ...


def answer(*pieces: bytes, method: str = "GET") -> bytes:
    """The body of a scripted answer."""
    return Connection(Scripted(*pieces)).receive(method).body.read()


def test_a_body_with_a_length_is_read_to_it_and_the_connection_stays() -> None:
    connection = Connection(
        Scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b"loHTTP/1.1 204 No\r\n\r\n")
    )

    first = connection.receive("GET")

    assert first.body.read() == b"hello"
    assert connection.reusable
    assert connection.receive("GET").status == 204


def test_a_chunked_body_with_extensions_and_trailers_is_put_together() -> None:
    body = b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"

    assert answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body) == b"abc0123456789"


def test_a_body_without_framing_ends_with_the_connection() -> None:
    connection = Connection(Scripted(b"HTTP/1.1 200 OK\r\n\r\nabc", b"def"))

    assert connection.receive("GET").body.read() == b"abcdef"
    assert not connection.reusable


@pytest.mark.parametrize("head", [b"HTTP/1.1 204 x", b"HTTP/1.1 304 x\r\nContent-Length: 10"])
def test_an_answer_that_has_no_body_is_not_waited_for(head: bytes) -> None:
    assert answer(head + b"\r\n\r\n") == b""


def test_the_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    assert answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", method="HEAD") == b""


def test_interim_answers_are_skipped() -> None:
    assert answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx") == b"x"


@pytest.mark.parametrize(
    ("answer_bytes", "complaint"),
    [
        (b"", "EOF"),
        (b"HTTP/1.1 200 OK\r\nContent-", "unexpected EOF"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "unexpected EOF"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "unexpected EOF"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde", "unexpected EOF"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n", "longer than its size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n", "malformed chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n", "malformed chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000, "no end of its first line"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "unsupported framing"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "unsupported framing",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "disagree"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "malformed Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n", "malformed Content-Length"),
        (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", "malformed header line"),
        (b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", "malformed header line"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "malformed HTTP response"),
        (b"HTTP/2 200 OK\r\n\r\n", "malformed HTTP response"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "malformed HTTP response"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * HEAD_LIMIT_BYTES + b"\r\n\r\n", "longer than 64 KiB"),
    ],
)
def test_an_answer_that_is_no_whole_http_is_a_failure_and_never_a_short_body(
    answer_bytes: bytes, complaint: str
) -> None:
    with pytest.raises(ProtocolError, match=complaint):
        answer(answer_bytes)


def test_an_endless_head_is_given_up() -> None:
    pieces = [b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"a" * 1000 + b"\r\n"] * 100]

    with pytest.raises(ProtocolError, match="64 KiB"):
        answer(*pieces)


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=10))
def test_random_bytes_give_an_answer_or_a_protocol_error(data: bytes, cuts: list[int]) -> None:
    pieces = list(cut_up(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data, cuts))

    try:
        answer(*pieces)
    except ProtocolError:
        pass


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.lists(st.integers(1, 30), max_size=20))
def test_chunks_survive_any_cut_of_the_stream(chunks: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    pieces = list(cut_up(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + wire, cuts))

    assert answer(*pieces) == b"".join(chunks)


def cut_up(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """`data` in pieces of the given sizes, the rest in one."""
    for size in cuts:
        if data[:size]:
            yield data[:size]
        data = data[size:]
    if data:
        yield data


def test_a_streamed_body_goes_out_in_chunks_and_empty_pieces_do_not_end_it() -> None:
    stream = Scripted()

    Connection(stream).send("POST", "/x", [("Host", "h")], iter([b"ab", b"", b"c"]))

    assert stream.sent.endswith(b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")


def test_a_header_with_a_line_break_is_not_sent() -> None:
    stream = Scripted()

    with pytest.raises(ProtocolError):
        Connection(stream).send("GET", "/x", [("X", "a\r\nInjected: 1")])

    assert stream.sent == b""


def test_a_stream_of_json_is_read_record_by_record_however_it_is_cut() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    connection = Connection(Scripted(head + b'{"a":', b'1}\r\n{"b"', b":2}{", b'"c":3}\n\n'))

    assert list(connection.receive("GET").body.json_values()) == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_a_record_that_is_not_json_is_a_failure() -> None:
    connection = Connection(Scripted(b"HTTP/1.1 200 OK\r\n\r\n{nope}\n"))

    with pytest.raises(ProtocolError, match="not JSON"):
        list(connection.receive("GET").body.json_values())


def test_queries_are_percent_encoded() -> None:
    assert query_string([("name", "a b&c=ü/")]) == "?name=a%20b%26c%3D%C3%BC%2F"
    assert quote("/images/a/b:c@sha256:1", "/:@") == "/images/a/b:c@sha256:1"
    assert quote("../x?y#z", "/") == "../x%3Fy%23z"
