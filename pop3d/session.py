"""The state of one POP3 session after authentication.  No input or output to the client."""

from __future__ import annotations

import os
import time

from couriertcpd import environ
from pop3d.wire import wrapper
from pop3d.wire.wrapper import Wrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maildir.maildrop import Maildrop


class Session:
    """The messages, which of them are marked as deleted, and counters for the log line at the end.

    `peer` is who is served, as log lines tell it; top_octets and retr_octets count as on disk.
    """

    __slots__ = ("deleted", "drop", "over", "peer", "retr_octets", "top_octets", "utf8", "violations", "wrapper")

    def __init__(self, drop: Maildrop, peer: str) -> None:
        self.drop = drop
        self.peer = peer
        self.deleted: set[int] = set()
        self.utf8 = environ.enabled("UTF8", True)
        self.wrapper = _wrapper()
        self.violations = 0
        self.top_octets = 0
        self.retr_octets = 0
        self.over = False

    def kept(self) -> list[int]:
        """The positions of the messages that are not marked as deleted."""
        everything = range(len(self.drop.sizes))
        return [index for index in everything if index not in self.deleted] if self.deleted else list(everything)


def _wrapper() -> Wrapper | None:
    """What is put around messages that are not for the client; None when they are sent as they are."""
    if environ.text("UTF8_FALLBACK").lower() == "raw":
        return None
    boundary = b"=_%d-%d" % (os.getpid(), int(time.time()))
    return Wrapper(boundary, environ.octets("MIME_UNICODE_MESSAGE_TYPE") or wrapper.MESSAGE_TYPE)
