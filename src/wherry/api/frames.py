"""The frames of attach, exec and logs streams when there is no terminal.

    +--------+---+---+---+---------------+----------...
    | stream | 0 | 0 | 0 | length, BE 32 | payload
    +--------+---+---+---+---------------+----------...

`stream` is 0 stdin, 1 stdout, 2 stderr, 3 an error of the engine in words.  The CLI loads this on its
start path: no imports.

Spec: Docker Engine API, ContainerAttach, "Stream format".
"""

from __future__ import annotations

STDIN, STDOUT, STDERR, SYSTEM_ERROR = 0, 1, 2, 3
HEADER_BYTES = 8
_STREAMS = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR}


class FrameError(ValueError):
    """The bytes are not frames."""


def header(stream: int, length: int) -> bytes:
    """The eight bytes that go before a payload of `length` bytes."""
    return bytes((stream, 0, 0, 0)) + length.to_bytes(4, "big")


def encode(stream: int | str, payload: bytes) -> bytes:
    """`payload` as one frame of `stream`, a number or stdin, stdout, stderr."""
    number = _STREAMS[stream] if isinstance(stream, str) else stream
    return header(number, len(payload)) + payload


class Decoder:
    """Cuts a byte stream into frames, however it arrives.

    Payload is handed on as it comes, so one long frame may be given out in several parts and a frame is
    never held in memory.
    """

    __slots__ = ("_head", "_left", "_stream")

    def __init__(self) -> None:
        self._head = b""
        self._stream = STDOUT
        self._left = 0

    def feed(self, data: bytes | bytearray | memoryview) -> list[tuple[int, bytes]]:
        """The parts of frames in `data`, as (stream, bytes); empty ones are left out.

        Raises:
            FrameError: a header that no engine sends.
        """
        view = memoryview(data)
        parts = []
        at = 0
        while at < len(view):
            if not self._left:
                at = self._read_head(view, at)
                continue
            part = bytes(view[at : at + self._left])
            parts.append((self._stream, part))
            self._left -= len(part)
            at += len(part)
        return parts

    def _read_head(self, view: memoryview, at: int) -> int:
        wanted = HEADER_BYTES - len(self._head)
        self._head += bytes(view[at : at + wanted])
        if len(self._head) == HEADER_BYTES:
            if self._head[0] > SYSTEM_ERROR or any(self._head[1:4]):
                raise FrameError(f"unrecognized stream header: {self._head.hex()}")
            self._stream = self._head[0]
            self._left = int.from_bytes(self._head[4:], "big")
            self._head = b""
        return min(at + wanted, len(view))

    @property
    def is_between_frames(self) -> bool:
        """Whether the stream could end here without a cut frame."""
        return not self._left and not self._head
