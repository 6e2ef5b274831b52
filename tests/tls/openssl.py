"""A client on pyOpenSSL, for what Python's ssl has no words for: exporters, renegotiation, close_notify and no more."""

from __future__ import annotations

import io
import socket
import struct

from chain import CLIENT_SECONDS
from OpenSSL import SSL

from tests.tls.servers import Talk


class _Stream(io.RawIOBase):
    """What comes over the connection, to be read as a file."""

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        try:
            return int(self._connection.recv_into(buffer))
        except SSL.ZeroReturnError:
            return 0


class Frank(Talk):
    """A client whose `tls` can be asked and told everything; `secure()` takes another context."""

    tls: SSL.Connection

    def secure(self, client: SSL.Context | None = None, name: bytes = b"") -> Frank:  # type: ignore[override]
        """Shake hands; name is the server name to ask for."""
        self._file.close()
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", CLIENT_SECONDS, 0))
        self.socket.setblocking(True)
        self.tls = SSL.Connection(client or SSL.Context(SSL.TLS_CLIENT_METHOD), self.socket)
        if name:
            self.tls.set_tlsext_host_name(name)
        self.tls.set_connect_state()
        self.tls.do_handshake()
        self._file = io.BufferedReader(_Stream(self.tls))  # type: ignore[assignment]
        return self

    def send(self, octets: bytes) -> None:
        self.tls.sendall(octets) if hasattr(self, "tls") else self.socket.sendall(octets)
