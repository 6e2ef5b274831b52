"""IDLE (RFC 2177): tell what changes while the client waits.

The folder is looked at every IMAP_IDLE_TIMEOUT seconds; a look that finds nothing new is a few calls of stat().
"""

from __future__ import annotations

import time

from couriertcpd import environ
from couriertcpd.dialogue import TimedOut
from imapd import operands
from imapd.errors import Bad
from imapd.feature import INACTIVITY_SECONDS, Command, Feature, Wait
from imapd.wire import response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session

DEFAULT_SECONDS = 60


def idle(session: Session) -> Generator[bytes | Wait, None, None]:
    """Tell changes until the client says DONE; raises TimedOut after as long as a silent client may stay."""
    yield response.continuation("entering idle mode")
    until = time.monotonic() + INACTIVITY_SECONDS
    interval = max(environ.number("IMAP_IDLE_TIMEOUT", DEFAULT_SECONDS), 1)
    while True:
        if session.view is not None:
            yield from session.view.changes()
        left = until - time.monotonic()
        if left <= 0:
            raise TimedOut
        wait = Wait(min(interval, left))
        yield wait
        if wait.line is not None:
            break
    if wait.line.strip().upper() != b"DONE":
        raise Bad("Expected DONE.")


FEATURE = Feature(
    rfc="RFC 2177",
    capabilities=("IDLE",),
    commands=(Command(b"IDLE", operands.nothing, idle, b"IDLE completed", refreshes=True),),
)
