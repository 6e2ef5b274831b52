"""What a session does, done once for nobody, in a process that waits for one; imaplogin.rehearsal says why."""

from __future__ import annotations

import socket

from authdaemond import ticket
from imapd import registry
from imapd.serve import Driver
from imapd.session import Session
from imapd.wire import response
from maildir.account import Account


def rehearse() -> None:
    """Check a ticket, answer two commands; no file is looked at, and nothing leaves the process."""
    ticket.rehearse()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"a NOOP\r\nb LOGOUT\r\n")
        driver = Driver(ours.fileno(), ours.fileno())
        driver.write(response.tagged(b"a", b"OK", "LOGIN Ok."))
        driver.flush()
        driver.serve(Session(Account(), "nobody", registry.FETCH_ITEMS, registry.STATUS_ITEMS), _nothing)
        driver.flush()


def _nothing(state: str) -> None:
    """Tells the listener nothing."""
