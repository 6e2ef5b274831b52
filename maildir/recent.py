r"""Which messages nobody has been told of as \Recent yet (RFC 3501 section 2.3.2).

For mail that was delivered the uid list tells: who gives a message its uid is the first to see it.  Messages that were
stored by APPEND or COPY have theirs at once, and EXAMINE gives uids but must not use up \Recent.  For these a small
file in the folder, `courierimaprecent`, has the uid validity and the lowest such uid; the first session that selects
the folder takes it.  The original ignores it, and nothing but \Recent is lost with it.
"""

from __future__ import annotations

from couriertcpd import log
from maildir import fs, names
from maildir.atomic import Replacement

FILE = b"/courierimaprecent"
MAX_BYTES = 64


def leave(folder: bytes, uidvalidity: int, uid: int) -> None:
    r"""Note that this message and those above it are \Recent to whoever selects the folder next."""
    try:
        before = look(folder, uidvalidity)
        if before is None or uid < before:
            with Replacement(folder + b"/tmp", b"recent") as note:
                note.put(b"%d %d\n" % (uidvalidity, uid))
                note.replace(folder + FILE)
    except OSError as error:
        log.warn(f"{log.printable(folder + FILE)}: {error.strerror}")  # the message itself is safe


def look(folder: bytes, uidvalidity: int) -> int | None:
    r"""The lowest uid of a message that is \Recent to the next session; None when there is no note."""
    try:
        return _lowest(folder + FILE, uidvalidity)
    except OSError:
        return None


def take(folder: bytes, uidvalidity: int) -> int | None:
    """The same, and the note is gone; of several sessions that ask at once one gets it."""
    taken = folder + b"/tmp/" + names.temporary(b"recent")
    try:
        fs.rename(folder + FILE, taken)
        lowest = _lowest(taken, uidvalidity)
        fs.unlink(taken)
    except OSError:
        return None
    return lowest


def _lowest(path: bytes, uidvalidity: int) -> int | None:
    text, _ = fs.read_file(path, MAX_BYTES)
    noted, _, uid = text.strip().partition(b" ")
    if not (noted.isdigit() and uid.isdigit()) or int(noted) != uidvalidity:
        return None
    return int(uid)
