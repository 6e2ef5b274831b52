"""What a session does, done once for nobody, in a process that waits for one; imaplogin.rehearsal says why."""

from __future__ import annotations

import socket

from authdaemond import ticket
from maildir import droplist, listing
from pop3d.serve import Driver
from pop3d.session import Session
from pop3d.wire import response

MESSAGES = 300  # in the drop that is gone through; the memory for as many is there then

_KEYS = [b"1700000000.M%06dP1234V0000000000000801I%016X_0.mail.example.com" % (one, one) for one in range(MESSAGES)]
# Made by the fork server; a child makes many small objects of each, as it will for its client.
_NAMES = b"\n".join([key + b":2,S" for key in _KEYS])
_LIST = b"/3 %d 1700000000\n" % (MESSAGES + 1) + b"".join(
    [b"%b:2,S 4096 %d:1700000000:0\n" % (key, number) for number, key in enumerate(_KEYS, 1)]
)


class Drop:
    """Messages that are nowhere: as much of a Maildrop as the commands of the rehearsal need."""

    def __init__(self) -> None:
        found = listing.Listing(b"/nowhere", _NAMES.split(b"\n"), True)
        drop = droplist.unchanged(_LIST, found)
        assert drop is not None  # noqa: S101
        self.sizes, self._uidls = drop.sizes, drop.uidls

    def uidls(self) -> list[bytes]:
        """Their unique ids."""
        return self._uidls

    def remove(self, doomed: list[int]) -> tuple[list[bytes], list[int]]:
        """There is nothing to remove."""
        return [], []


def rehearse() -> None:
    """Check a ticket, list messages; no file is looked at, and nothing leaves the process."""
    ticket.rehearse()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"STAT\r\nUIDL\r\nQUIT\r\n")
        driver = Driver(ours.fileno(), ours.fileno())
        driver.write(response.ok(b"logged in."))
        driver.flush()
        driver.serve(Session(Drop(), "nobody"))  # type: ignore[arg-type]
