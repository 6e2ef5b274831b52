"""The driver: the only reads and writes of imapd.

Reads the client, cuts its octets into commands, writes the answers out in pieces of 64 KiB and more.  Straight and
blocking: one process serves one client, so waiting for it is right.  Nothing waits for ever: 30 minutes for a command,
60 seconds inside a literal or for a client that does not read its answer.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from couriertcpd import stage
from imapd import dispatch
from imapd.errors import Bad, No, TimedOut
from imapd.feature import INACTIVITY_SECONDS, Wait
from imapd.wire import fragment, response
from imapd.wire.lexer import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from imapd.session import Session
    from imapd.view import View
    from maildir.incoming import Incoming

STALL_SECONDS = 60
WRITE_OCTETS = 65536  # what is queued is written out when it is so much
MOST_OCTETS = 131072  # in one write: a slow client has STALL_SECONDS to take them
READ_OCTETS = 65536
REST_SECONDS = 0.1  # a client that is silent for so long leaves time for what nobody waits for


class Disconnected(Exception):
    """The client is gone, or does not take its answer."""


class Shutdown(Exception):
    """SIGTERM, SIGHUP or SIGINT arrived."""


class Driver:
    """One client on a pair of descriptors; received and sent count octets for the log."""

    def __init__(self, source: int = 0, sink: int = 1) -> None:
        self.received = 0
        self.sent = 0
        self._source = source
        self.sink = sink
        self._out: list[bytes] = []
        self._queued = 0  # octets in _out
        self._fragmenter = fragment.Fragmenter()
        self._incoming: Incoming | None = None
        self._session: Session | None = None
        self._view: View | None = None  # the selected mailbox
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
        raise Disconnected

    def write(self, octets: bytes) -> None:
        """Queue octets for the client."""
        self._out.append(octets)
        self._queued += len(octets)
        if self._queued >= WRITE_OCTETS:
            self.flush()

    def flush(self) -> None:
        """Write out what is queued; raises Disconnected."""
        # A large piece alone, as in a large message, goes out as it is; many small ones are one copy away from that.
        pending = memoryview(self._out[0] if len(self._out) == 1 else b"".join(self._out))
        self._out.clear()
        self._queued = 0
        while pending:
            signal.alarm(STALL_SECONDS)
            try:
                written = os.write(self.sink, pending[:MOST_OCTETS])
            except OSError:
                raise Disconnected from None
            finally:
                signal.alarm(0)
            self.sent += written
            pending = pending[written:]

    def serve(self, session: Session, tell: Callable[[str], None]) -> None:
        """Serve commands until LOGOUT; raises Disconnected, TimedOut, Shutdown or Bye.

        tell is called with the state of RFC 3501 section 3 when that has changed.
        """
        self._session = session
        try:
            self._serve(session, tell)
        finally:
            if self._view is not None:
                self._leave(self._view)
            session.arrivals.leave()

    def _serve(self, session: Session, tell: Callable[[str], None]) -> None:
        while not session.logged_out:
            if session.view is not self._view:
                if (session.view is None) != (self._view is None):
                    tell("authenticated" if session.view is None else "selected")
                before, self._view = self._view, session.view
                if before is not None:
                    self._leave(before)
            event = self._next_event()
            if isinstance(event, fragment.Command):
                self._answer(dispatch.execute(session, event))
            elif isinstance(event, fragment.Literal):
                self._announce(session, event)
            elif isinstance(event, fragment.Chunk):
                self._receive(session, event)
            else:
                self._answer(dispatch.too_long(session, event.prefix))

    def _leave(self, view: View) -> None:
        """The client has its answer, then what was found out for it is kept."""
        with contextlib.suppress(Disconnected):
            self.flush()
        view.close()

    def _next_event(self) -> fragment.Command | fragment.Literal | fragment.Chunk | fragment.TooLong:
        while True:
            event = self._fragmenter.next_event()
            if event is not None:
                return event
            self.flush()
            self._fragmenter.feed(self.read(STALL_SECONDS if self._fragmenter.octets_wanted else INACTIVITY_SECONDS))

    def read(self, seconds: float) -> bytes:
        """What the client sends next; raises TimedOut after seconds, Disconnected at the end of its input."""
        self._waiting = True
        try:
            if self._stop:
                raise Shutdown
            ready = self._readable_at_last(seconds)
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

    def _readable_at_last(self, seconds: float) -> bool:
        """The same as _readable(), with what can be done meanwhile; not while a command is being sent."""
        if self._session is None or self._fragmenter.octets_wanted:
            return self._readable(seconds)
        deadline = time.monotonic() + seconds
        later: float | None = REST_SECONDS
        while later is not None and seconds > 0:
            if self._readable(min(later, seconds)) or self._stop:
                return True
            later = self._idle(self._session)
            seconds = max(deadline - time.monotonic(), 0)
        return self._readable(seconds)

    def _idle(self, session: Session) -> float | None:
        # A signal waits for this: it ends between two writes of the index.
        self._waiting = False
        try:
            later = session.idle()
        except OSError:
            later = None  # what is wrong with the folder is told when a client asks for it
        self._waiting = True
        if self._stop:
            raise Shutdown
        return later

    def _readable(self, seconds: float) -> bool:
        """Whether the client sends something in time; returns early when a signal has come."""
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        if self._wake >= 0:
            poll.register(self._wake, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _answer(self, fragments: Iterable[bytes | Wait]) -> None:
        # Pipelined commands are answered in one write: nothing is flushed before the next read.
        for piece in fragments:
            if isinstance(piece, Wait):
                piece.line = self._line_within(piece.seconds)
                continue
            self.write(piece)
            if self._stop and not self._out:
                raise Shutdown

    def _line_within(self, seconds: float) -> bytes | None:
        """The line that the client sends next; None when it sends none in time."""
        deadline = time.monotonic() + seconds
        while True:
            event = self._fragmenter.next_event()
            if isinstance(event, fragment.Command):
                return event.octets
            if isinstance(event, fragment.Literal):
                event.refuse()
                return event.prefix
            if isinstance(event, fragment.TooLong):
                return event.prefix
            self.flush()
            try:
                self._fragmenter.feed(self.read(max(deadline - time.monotonic(), 0)))
            except TimedOut:
                return None

    def _announce(self, session: Session, literal: fragment.Literal) -> None:
        try:
            incoming = dispatch.receiver(session, literal)
        except (Bad, Malformed, No, OSError) as problem:
            literal.refuse()
            self._answer(dispatch.refusal(session, literal.prefix, problem))
            return
        if incoming is None:
            literal.accept()
        else:
            self._incoming = incoming
            session.incoming.append(incoming)
            literal.stream()
        if literal.synchronising:
            self.write(response.continuation())

    def _receive(self, session: Session, chunk: fragment.Chunk) -> None:
        # A full disk is told at the end of the command: the client sends its literal to the last octet anyway.
        if session.receive_error is None and self._incoming is not None:
            try:
                self._incoming.write(chunk.data)
            except OSError as error:
                session.receive_error = error
        if chunk.last:
            self._incoming = None


def bye(driver: Driver, text: str) -> None:
    """Tell the client why the connection ends, if it still listens."""
    try:
        driver.write(response.untagged(b"BYE " + text.encode()))
        driver.flush()
    except Disconnected:
        return
    stage.farewell(driver.sink)
