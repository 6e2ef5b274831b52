"""The connection between TLS and clear text: the handshake, and then octets both ways until both ends are through.

Nothing is held for a side that does not take it but one buffer; while that is full, the other side is not read.
"""

from __future__ import annotations

import os
import select
import socket
import time

from OpenSSL import SSL

from couriertcpd.tlscontext import NoProtocol, reason

CHUNK_OCTETS = 65536  # read at a time from clear text, and held at most
RECORD_OCTETS = 16384  # of TLS, which decrypts one record at a time
FLUSH_SECONDS = 10.0  # for the client to take some of what is left, when the program has ended


class HandshakeFailed(Exception):
    """There is no TLS connection; the text says why.  `closed`: the other end has just gone."""

    def __init__(self, text: str, closed: bool = False) -> None:
        super().__init__(text)
        self.closed = closed


def shake_hands(connection: SSL.Connection, seconds: float, verb: str) -> None:
    """Agree on TLS within so many seconds, on a socket that does not block; verb is `accept` or `connect`.

    Raises HandshakeFailed.
    """
    deadline = time.monotonic() + seconds
    readiness = select.poll()
    descriptor = connection.fileno()
    while True:
        try:
            connection.do_handshake()
            return
        except SSL.WantReadError:
            readiness.register(descriptor, select.POLLIN)
        except SSL.WantWriteError:
            readiness.register(descriptor, select.POLLOUT)
        except (SSL.SysCallError, SSL.ZeroReturnError, ConnectionError):
            raise HandshakeFailed("Unexpected SSL connection shutdown.", closed=True) from None
        except SSL.Error as error:
            raise HandshakeFailed(f"couriertls: {verb}: {reason(error, connection)}") from None
        except NoProtocol as problem:
            raise HandshakeFailed(f"couriertls: {verb}: {problem}") from None
        except Exception as problem:  # from a callback, a certificate that cannot be loaded for one
            raise HandshakeFailed(f"couriertls: {verb}: {problem}") from None
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not readiness.poll(remaining * 1000):
            raise HandshakeFailed(f"couriertls: {verb}: no handshake within {seconds:.0f} seconds")


class Relay:
    """Octets between a TLS connection and the clear-text side: a socket, or a descriptor to read and one to write.

    The TLS connection's socket does not block, nor does a clear-text socket.  `truncated` tells afterwards that the
    client went without saying so in TLS (close_notify): what it sent may be cut.  The client is told the end likewise:
    with close_notify only where it got everything, and the program has not been torn away.
    """

    def __init__(
        self, connection: SSL.Connection, clear_in: int, clear_out: int, *, until_peer_ends: bool = False
    ) -> None:
        """until_peer_ends: the other end is a server, behind whose end there is nothing to say."""
        self._tls, self._clear_in, self._clear_out = connection, clear_in, clear_out
        self._until_peer_ends = until_peer_ends
        self._inward = memoryview(b"")  # from TLS to clear text
        self._outward = memoryview(b"")
        self._tls_reading = select.POLLIN  # what reading waits for; 0 when it is over
        self._tls_writing = 0
        self._clear_open = True  # it may still say something
        self._sink_open = True  # it may still be told something
        self._poll = select.poll()
        self._registered: dict[int, int] = {}
        self._deadline: float | None = None
        self._whole = True  # what the client got is all there was
        self.truncated = False
        self.trouble = ""

    def run(self) -> None:
        """Relay until the clear-text side has ended and the client has got everything, or is gone."""
        try:
            self._receive()
            while self._clear_open or self._outward:
                self._turn()
            if self._whole:
                self._say_the_end()
        except (SSL.SysCallError, SSL.ZeroReturnError, SSL.WantReadError, SSL.WantWriteError, ConnectionError):
            return  # it has gone, or does not want to hear it
        except SSL.Error as error:
            self.trouble = "" if self.truncated else reason(error)

    def _say_the_end(self) -> None:
        """close_notify, without waiting for the client's; but the last octets may have left no room for it."""
        room = select.poll()
        room.register(self._tls.fileno(), select.POLLOUT)
        deadline = time.monotonic() + FLUSH_SECONDS
        while True:
            try:
                self._tls.shutdown()
                return
            except SSL.WantWriteError:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not room.poll(remaining * 1000):
                    return

    def _turn(self) -> None:
        descriptor = self._tls.fileno()
        wanted = {descriptor: self._tls_writing, self._clear_in: 0, self._clear_out: 0}
        if self._inward:
            wanted[self._clear_out] |= select.POLLOUT
        else:
            wanted[descriptor] |= self._tls_reading
        if self._clear_open and not self._outward:
            wanted[self._clear_in] |= select.POLLIN
        elif self._clear_open and self._deadline is None:
            wanted[self._clear_in] |= select.POLLRDHUP  # a program that ended waits for no slow client
        self._watch(wanted)
        patience = None if self._deadline is None else self._deadline - time.monotonic()
        if patience is not None and patience <= 0:
            return self._client_gone()
        for ready, _ in self._poll.poll(None if patience is None else patience * 1000 + 1):
            if ready == descriptor:
                self._send()
                self._receive()
            else:
                self._clear_ready(ready)

    def _watch(self, wanted: dict[int, int]) -> None:
        """Poll for these events; a descriptor without any is not polled, or its end would be told again and again."""
        if wanted == self._registered:
            return
        for descriptor, events in wanted.items():
            if events:
                self._poll.register(descriptor, events)
            elif self._registered.get(descriptor):
                self._poll.unregister(descriptor)
        self._registered = wanted

    def _clear_ready(self, descriptor: int) -> None:
        if descriptor == self._clear_out and self._inward:
            self._write_clear()
            self._receive()
        if descriptor == self._clear_in and self._clear_open:
            if self._outward:
                self._deadline = time.monotonic() + FLUSH_SECONDS
            else:
                self._read_clear()

    # TLS to clear text

    def _receive(self) -> None:
        """Take what the client has sent, and hand it on, as far as both go without waiting."""
        while self._tls_reading and not self._inward:
            try:
                octets = self._tls.recv(RECORD_OCTETS)
            except SSL.WantReadError:
                self._tls_reading = select.POLLIN
                return
            except SSL.WantWriteError:
                self._tls_reading = select.POLLOUT
                return
            except SSL.ZeroReturnError:
                return self._client_ended()
            except (SSL.SysCallError, ConnectionError):
                self.truncated = True
                return self._client_ended()
            except SSL.Error as error:  # no TLS, or forged
                self.trouble = reason(error)
                return self._client_gone()
            self._inward = memoryview(octets)
            self._write_clear()

    def _client_ended(self) -> None:
        self._tls_reading = 0
        self._end_sink()

    def _end_sink(self) -> None:
        """Let the program see the end of its input, once it has taken what came before."""
        if not self._sink_open or self._inward:
            return
        self._sink_open = False
        if self._until_peer_ends:
            self._outward = memoryview(b"")
            self._clear_open = False
        try:
            if self._clear_in == self._clear_out:
                with socket.socket(fileno=os.dup(self._clear_out)) as sink:
                    sink.shutdown(socket.SHUT_WR)
            else:
                os.close(self._clear_out)
        except OSError:
            return  # it has gone too

    def _write_clear(self) -> None:
        try:
            while self._inward:
                self._inward = self._inward[os.write(self._clear_out, self._inward) :]
        except BlockingIOError:
            return
        except OSError:
            self._inward = memoryview(b"")  # nobody is there to read it
            self._tls_reading = 0
        if not self._tls_reading:
            self._end_sink()

    # Clear text to TLS

    def _read_clear(self) -> None:
        try:
            octets = os.read(self._clear_in, CHUNK_OCTETS)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
            self._whole = False
        if octets:
            self._outward = memoryview(octets)
            self._send()
        else:
            self._clear_open = False
            self._deadline = time.monotonic() + FLUSH_SECONDS

    def _send(self) -> None:
        self._tls_writing = 0
        try:
            while self._outward:
                self._outward = self._outward[self._tls.send(self._outward) :]
                if self._deadline is not None:
                    self._deadline = time.monotonic() + FLUSH_SECONDS
        except SSL.WantWriteError:
            self._tls_writing = select.POLLOUT
        except SSL.WantReadError:
            self._tls_writing = select.POLLIN
        except (SSL.SysCallError, SSL.ZeroReturnError, ConnectionError):
            self._client_gone()

    def _client_gone(self) -> None:
        """Nothing can be sent any more: the program hears of it as it would from its own socket."""
        self._whole = False
        self._outward = memoryview(b"")
        self._clear_open = False
        self._client_ended()
