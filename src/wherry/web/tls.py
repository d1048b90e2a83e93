"""TLS as a transport that can half-close.

asyncio's own TLS ends both directions at once, and `exec -i` then loses every byte of output after the end
of its input.  Here OpenSSL works on memory buffers between a plain transport and the inner protocol:

    client ◄─► transport ◄─► TlsProtocol (ciphertext) ◄─ OpenSSL ─► TlsTransport (plain text) ◄─► inner

A close_notify from the client is the inner protocol's end of stream, and `write_eof` sends one; the other
direction goes on in both cases, which TLS 1.3 allows and OpenSSL does for 1.2 as well.

Spec: RFC 8446 section 6.1.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

from wherry.diagnostics.logs import log
from wherry.errors import InvalidArgument

_HANDSHAKE_TIMEOUT_S = 10.0
_READ_BYTES = 256 * 1024


def server_context(certificate: str, key: str, *, client_ca: str | None = None) -> ssl.SSLContext:
    """A context for listeners: TLS 1.2 or newer; with `client_ca`, only clients that this CA has signed.

    Raises:
        InvalidArgument: a file that cannot be read or does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"])
    # A half-closed direction is not an attack here: lengths and frames say where a message ends.
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)  # and no CA of the system
    except (OSError, ValueError) as error:  # SSLError is an OSError
        files = ", ".join(name for name in (certificate, key, client_ca) if name)
        raise InvalidArgument(f"cannot load TLS material from {files}: {error}") from error
    return context


class TlsProtocol(asyncio.Protocol):
    """The ciphertext side: what the plain transport talks to."""

    def __init__(self, context: ssl.SSLContext, inner: asyncio.Protocol) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._inner = inner
        self._raw: asyncio.Transport | None = None
        self._outer: TlsTransport | None = None  # once the handshake is done
        self._timer: asyncio.TimerHandle | None = None
        self._is_paused = False
        self._has_told_eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._raw = transport
        self._timer = asyncio.get_running_loop().call_later(_HANDSHAKE_TIMEOUT_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        if self._outer is None and not self._shake_hands():
            return
        self._read()

    def _shake_hands(self) -> bool:
        assert self._raw
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
            return False
        except ssl.SSLError as error:
            log("info", "TLS handshake failed", peer=self._raw.get_extra_info("peername"), error=error)
            self._send()  # the alert that says why
            self._raw.close()
            return False
        self._send()
        if self._timer:
            self._timer.cancel()
        self._outer = TlsTransport(self, self._raw)
        self._inner.connection_made(self._outer)
        return True

    def _read(self) -> None:
        """Hand on the plain text that is there."""
        assert self._raw
        try:
            while not self._is_paused and not self._raw.is_closing():
                data = self._tls.read(_READ_BYTES)
                if not data:
                    self._tell_eof()
                    return
                self._inner.data_received(data)
        except ssl.SSLWantReadError:
            self._send()  # a key update may want an answer
        except ssl.SSLZeroReturnError:
            self._tell_eof()
        except ssl.SSLError as error:
            log("info", "TLS failed", peer=self._raw.get_extra_info("peername"), error=error)
            self._raw.abort()

    def _tell_eof(self) -> None:
        if self._has_told_eof or self._outer is None:
            return
        self._has_told_eof = True
        if not self._inner.eof_received():
            self._outer.close()

    def eof_received(self) -> bool:
        self._tell_eof()
        return self._outer is not None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        if self._outer is not None:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._outer is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._outer is not None:
            self._inner.resume_writing()

    # What TlsTransport asks for.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        view = memoryview(data)
        try:
            while view:
                view = view[self._tls.write(view) :]
        except ssl.SSLError as error:
            assert self._raw
            log("info", "TLS failed", peer=self._raw.get_extra_info("peername"), error=error)
            self._raw.abort()
            return
        self._send()

    def send_close_notify(self) -> None:
        """Tell the peer that nothing more comes."""
        try:
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # it waits for the peer's, or the peer has broken off: ours is in the buffer if it can be
        self._send()

    def set_paused(self, is_paused: bool) -> None:
        """Stop or go on handing plain text to the inner protocol."""
        self._is_paused = is_paused
        if not is_paused:
            asyncio.get_running_loop().call_soon(self._read)

    def set_inner(self, inner: asyncio.Protocol) -> None:
        """Let another protocol have the plain text."""
        self._inner = inner

    def inner(self) -> asyncio.Protocol:
        """The protocol that has the plain text."""
        return self._inner

    def _send(self) -> None:
        assert self._raw
        data = self._outgoing.read()
        if data and not self._raw.is_closing():
            self._raw.write(data)


class TlsTransport(asyncio.Transport):
    """The plain text side: a transport for the inner protocol."""

    def __init__(self, tls: TlsProtocol, raw: asyncio.Transport) -> None:
        super().__init__()
        self._tls = tls
        self._raw = raw
        self._has_sent_eof = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default if name == "socket" else self._raw.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._has_sent_eof and not self._raw.is_closing():
            self._tls.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._has_sent_eof:
            self._has_sent_eof = True
            self._tls.send_close_notify()

    def close(self) -> None:
        self.write_eof()
        self._raw.close()

    def abort(self) -> None:
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._raw.is_closing()

    def pause_reading(self) -> None:
        self._tls.set_paused(True)
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._tls.set_paused(False)
        self._raw.resume_reading()

    def is_reading(self) -> bool:
        return self._raw.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._raw.get_write_buffer_limits()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._tls.set_inner(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._tls.inner()
