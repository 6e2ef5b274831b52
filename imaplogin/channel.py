"""The client before authentication: reading that takes no more than one command.

What a client pipelines behind LOGIN belongs to the next stage.  So input is peeked at and consumed line by line, and
the rest stays in the kernel, where the next stage finds it.
"""

from __future__ import annotations

import os
import select
import socket

PEEK_OCTETS = 16384
MAX_DISCARDED = 1 << 20


class Disconnected(Exception):
    """The client is gone."""


class Channel:
    """Descriptors 0 and 1; received and sent count octets; signalled is readable when a signal is to end a wait.

    While it is silent, nothing that is written goes out.
    """

    def __init__(self) -> None:
        self.signalled = -1
        self.silent = False
        self.received = 0
        self.sent = 0
        self._out = bytearray()
        self._socket = _socket_of(0)

    def write(self, octets: bytes) -> None:
        """Queue octets; they go out before the next read."""
        if not self.silent:
            self._out += octets

    def flush(self) -> None:
        """Write out what is queued; raises Disconnected.  The stage's time limit bounds the wait."""
        # Taken out of the queue first: a signal can end the stage at any instruction, and nothing may go out twice.
        pending = memoryview(bytes(self._out))
        self._out.clear()
        while pending:
            try:
                written = os.write(1, pending)
            except OSError:
                raise Disconnected from None
            self.sent += written
            pending = pending[written:]

    def read_line(self) -> bytes:
        """The next octets up to a line end, or as much of a long line as has arrived; raises Disconnected."""
        self.flush()
        self._wait()
        try:
            octets = self._peeked_line() if self._socket is not None else os.read(0, 1)
        except OSError:
            raise Disconnected from None
        return self._count(octets)

    def read_octets(self, most: int) -> bytes:
        """At most that many octets, which are known to be for this stage; raises Disconnected."""
        self.flush()
        self._wait()
        try:
            octets = os.read(0, min(most, PEEK_OCTETS))
        except OSError:
            raise Disconnected from None
        return self._count(octets)

    def discard(self) -> None:
        """Throw away what has arrived; more than MAX_DISCARDED would not be a command any more."""
        if self._socket is None:
            return
        for _ in range(MAX_DISCARDED // PEEK_OCTETS):
            try:
                self._count(self._socket.recv(PEEK_OCTETS, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return
            except OSError:
                raise Disconnected from None

    def reopen(self) -> None:
        """Look at descriptors 0 and 1 anew: another connection has taken their place."""
        if self._socket is not None:
            self._socket.close()
        self._socket = _socket_of(0)

    def _wait(self) -> None:
        """Until there is something to read; what a signal's handler raises comes out of here."""
        if self.signalled < 0:
            return
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(self.signalled, select.POLLIN)
        poll.poll()

    def _peeked_line(self) -> bytes:
        assert self._socket is not None  # noqa: S101
        ahead = self._socket.recv(PEEK_OCTETS, socket.MSG_PEEK)
        end = ahead.find(b"\n") + 1
        return self._socket.recv(end or len(ahead))

    def _count(self, octets: bytes) -> bytes:
        if not octets:
            raise Disconnected
        self.received += len(octets)
        return octets


def _socket_of(descriptor: int) -> socket.socket | None:
    """The descriptor as a socket that answers without delay; None when it is a pipe or a terminal."""
    try:
        client = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return None
    os.set_inheritable(client.fileno(), False)
    if client.family in (socket.AF_INET, socket.AF_INET6):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client
