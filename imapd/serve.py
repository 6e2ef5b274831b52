"""The driver: the only reads and writes of imapd.

Reads the client, cuts its octets into commands, writes the answers out in pieces of 64 KiB and more.  Nothing waits for
ever: 30 minutes for a command, 60 seconds inside a literal or for a client that does not read its answer.
"""

from __future__ import annotations

import contextlib
import time

from couriertcpd import stage
from couriertcpd.dialogue import Dialogue, Disconnected, Shutdown, TimedOut
from imapd import dispatch
from imapd.errors import Bad, No
from imapd.feature import INACTIVITY_SECONDS, Wait
from imapd.wire import fragment, response
from imapd.wire.lexer import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imapd.session import Session
    from imapd.view import View
    from maildir.incoming import Incoming

STALL_SECONDS = 60  # inside a literal
REST_SECONDS = 0.1  # a client that is silent for so long leaves time for what nobody waits for


class Driver(Dialogue):
    """One client on a pair of descriptors."""

    def __init__(self, source: int = 0, sink: int = 1) -> None:
        super().__init__(source, sink)
        self._fragmenter = fragment.Fragmenter()
        self._incoming: Incoming | None = None
        self._session: Session | None = None
        self._view: View | None = None  # the selected mailbox

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
                if before is not None and not (session.view is not None and session.view.folder is before.folder):
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

    def _ready(self, seconds: float) -> bool:
        # With what can be done meanwhile; not while a command is being sent.
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

    def _answer(self, fragments: Iterable[bytes | Wait]) -> None:
        # Pipelined commands are answered in one write: nothing is flushed before the next read.
        for piece in fragments:
            if isinstance(piece, Wait):
                piece.line = self._line_within(piece.seconds)
                continue
            self.write(piece)
            self.stop_if_told()

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
