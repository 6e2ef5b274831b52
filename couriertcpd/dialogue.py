"""A client after authentication: blocking reads and writes with deadlines, and signals that end a session.

Straight and blocking: one process serves one client, so waiting for it is right.  Nothing waits for ever.
"""

from __future__ import annotations

import os
import select
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

WRITE_OCTETS = 65536  # what is queued is written out when it is so much
MOST_OCTETS = 131072  # in one write: a slow client has stall_seconds to take them
READ_OCTETS = 65536


class Disconnected(Exception):
    """The client is gone."""


class Stalled(Disconnected):
    """The client does not take its answer, or cannot be written to."""


class TimedOut(Exception):
    """The client says nothing for too long."""


class Shutdown(Exception):
    """SIGTERM, SIGHUP or SIGINT arrived."""


class Dialogue:
    """One client on a pair of descriptors; received and sent count octets for the log."""

    stall_seconds = 60  # for one write

    def __init__(self, source: int = 0, sink: int = 1) -> None:
        self.received = 0
        self.sent = 0
        self.sink = sink
        self._source = source
        self._out: list[bytes] = []
        self._queued = 0  # octets in _out
        self._waiting = False
        self._stop = False
        self._wake = -1

    def install_signals(self) -> None:
        """Let SIGTERM, SIGHUP and SIGINT end the session between two answers."""
        # A handler of Python's does not run when its signal comes just before the wait: an octet in the pipe ends that.
        # Nobody empties the pipe, for each of these signals ends the session.
        self._wake, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_stall)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # In the middle of a change the signal waits until it is done; a client that we wait for can be left at once.
        self._stop = True
        if self._waiting:
            raise Shutdown

    def _on_stall(self, number: int, frame: FrameType | None) -> None:
        raise Stalled

    def stop_if_told(self) -> None:
        """Raise Shutdown when a signal has come and nothing is queued: the end of an answer, or the middle of one."""
        if self._stop and not self._out:
            raise Shutdown

    def write(self, octets: bytes) -> None:
        """Queue octets for the client."""
        self._out.append(octets)
        self._queued += len(octets)
        if self._queued >= WRITE_OCTETS:
            self.flush()

    def flush(self) -> None:
        """Write out what is queued; raises Stalled."""
        # A large piece alone, as in a large message, goes out as it is; many small ones are one copy away from that.
        pending = memoryview(self._out[0] if len(self._out) == 1 else b"".join(self._out))
        self._out.clear()
        self._queued = 0
        while pending:
            signal.alarm(self.stall_seconds)
            try:
                written = os.write(self.sink, pending[:MOST_OCTETS])
            except OSError:
                raise Stalled from None
            finally:
                signal.alarm(0)
            self.sent += written
            pending = pending[written:]

    def read(self, seconds: float) -> bytes:
        """What the client sends next; raises TimedOut after seconds, Disconnected at the end of its input."""
        self._waiting = True
        try:
            if self._stop:
                raise Shutdown
            ready = self._ready(seconds)
            if self._stop:
                raise Shutdown
        finally:
            self._waiting = False
        if not ready:
            raise TimedOut
        try:
            octets = os.read(self._source, READ_OCTETS)
        except OSError:
            raise Disconnected from None
        if not octets:
            raise Disconnected
        self.received += len(octets)
        return octets

    def _ready(self, seconds: float) -> bool:
        """What waits for the client; a subclass may have something to do meanwhile."""
        return self._readable(seconds)

    def _readable(self, seconds: float) -> bool:
        """Whether the client sends something in time; returns early when a signal has come."""
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        if self._wake >= 0:
            poll.register(self._wake, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
