"""TLS over a connected socket, with a half-close.

`ssl.SSLSocket` cannot end one direction only, and a hijacked `exec -i` needs exactly that.  So
the TLS state lives in an `SSLObject` over two memory buffers, and the socket is ours: after
`shutdown_write` has sent its close_notify, reading goes on.

This module is imported for TLS endpoints only: `ssl` costs half a start of the program.
"""

from __future__ import annotations

import _socket
import ssl

from wherry.client.failures import ConnectionFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.client.endpoint import Tls

_CHUNK = 65536


def _context(material: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if material.verify:
        if material.ca:
            context.load_verify_locations(material.ca)
        else:
            context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if material.cert:
        context.load_cert_chain(material.cert, material.key or None)
    return context


class TlsStream:
    """A TLS client connection on `sock`, which it owns.

    Raises:
        ConnectionFailed: no agreement with the peer, or unreadable key material.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "_socket", "_unsent")

    def __init__(self, sock: _socket.socket, host: str, material: Tls) -> None:
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._unsent = memoryview(b"")
        try:
            context = _context(material)
            self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
            self._handshake()
        except OSError as error:
            sock.close()
            raise ConnectionFailed(f"error during connect: tls: {error}", error.errno or 0) from error

    def _handshake(self) -> None:
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._fill():
                    raise ConnectionResetError("the peer closed during the handshake") from None
                continue
            self._flush()
            return

    def _fill(self) -> bool:
        data = self._socket.recv(_CHUNK)
        if data:
            self._incoming.write(data)
        return bool(data)

    def _flush(self) -> None:
        """Send everything that is encrypted, waiting as long as it takes."""
        pending = bytes(self._unsent) + self._outgoing.read()
        self._unsent = memoryview(b"")
        if pending:
            self._socket.sendall(pending, _socket.MSG_NOSIGNAL)

    def _push(self) -> None:
        """Send what the kernel takes now."""
        if not self._unsent:
            self._unsent = memoryview(self._outgoing.read())
        if self._unsent:
            try:
                sent = self._socket.send(self._unsent, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            self._unsent = self._unsent[sent:]

    def fileno(self) -> int:
        return self._socket.fileno()

    def recv(self, size: int) -> bytes:
        while True:
            try:
                return self._object.read(size)
            except ssl.SSLWantReadError:
                self._flush()
                if not self._fill():
                    return b""
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise self._refused(error) from error

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        self._object.write(data)
        self._flush()

    def offer(self, data: memoryview) -> int:
        self._push()
        if self.blocked():
            return 0
        taken = self._object.write(data[:_CHUNK])
        self._push()
        return taken

    def receive_into(self, buffer: memoryview) -> int | None:
        self._push()
        while True:
            try:
                return self._object.read(len(buffer), buffer)  # type: ignore[return-value]
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                return 0
            try:
                data = self._socket.recv(_CHUNK, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            if not data:
                return 0
            self._incoming.write(data)

    def blocked(self) -> bool:
        return bool(self._unsent) or self._outgoing.pending > 0

    def buffered(self) -> bool:
        """Whether bytes of the peer wait in our buffers, where poll does not see them."""
        return self._object.pending() > 0 or self._incoming.pending > 0

    def shutdown_write(self) -> None:
        try:
            self._object.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLError):
            pass  # our close_notify is in the buffer; the peer's comes at the end of its output
        self._flush()
        self._socket.shutdown(_socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    @staticmethod
    def _refused(error: ssl.SSLError) -> ConnectionFailed:
        text = str(error).lower()
        if "certificate" in text and "alert" in text:
            return ConnectionFailed(
                "the server probably has client authentication (--tlsverify) enabled; check your TLS "
                f"client certification settings: {error}"
            )
        return ConnectionFailed(f"error during connect: tls: {error}")
