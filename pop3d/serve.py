"""The driver: the only reads and writes of pop3d.

Reads the client, cuts its octets into commands, writes the answers out in pieces of 64 KiB or more; what was pipelined
is answered in one write.  Nothing waits for ever: five minutes for a command, and as long for each write.
"""

from __future__ import annotations

from couriertcpd.dialogue import Dialogue
from pop3d import commands
from pop3d.wire.command import Lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pop3d.session import Session

INACTIVITY_SECONDS = 300


class Driver(Dialogue):
    """One client on a pair of descriptors."""

    stall_seconds = INACTIVITY_SECONDS

    def __init__(self, source: int = 0, sink: int = 1) -> None:
        super().__init__(source, sink)
        self._lines = Lines()
        self.answering = False  # in the middle of an answer there is no room for other words

    def serve(self, session: Session) -> None:
        """Serve commands until QUIT; raises Disconnected, TimedOut, Shutdown or commands.TooManyViolations."""
        while not session.over:
            line = self._next_line()
            self.answering = True
            for piece in commands.execute(session, line):
                self.write(piece)
                self.stop_if_told()
            self.answering = False
        self.flush()

    def _next_line(self) -> bytes:
        while True:
            line = self._lines.next_line()
            if line is not None:
                return line
            self.flush()
            self._lines.feed(self.read(INACTIVITY_SECONDS))
