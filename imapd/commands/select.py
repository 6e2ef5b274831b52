"""SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2)."""

from __future__ import annotations

from imapd import operands
from imapd.errors import No
from imapd.feature import Command, Feature
from imapd.mailbox import locate
from imapd.view import View
from imapd.wire import response
from maildir.folder import Folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from imapd.session import Session


def select(session: Session, mailbox: bytes) -> Generator[bytes, None, bytes]:
    """Open a mailbox for reading and writing."""
    view = _open(session, mailbox, read_only=False)
    yield from _describe(view)
    return b"[READ-WRITE] Ok"


def examine(session: Session, mailbox: bytes) -> Generator[bytes, None, bytes]:
    """Open a mailbox for reading."""
    view = _open(session, mailbox, read_only=True)
    yield from _describe(view)
    return b"[READ-ONLY] Ok"


def _open(session: Session, mailbox: bytes, read_only: bool) -> View:
    # RFC 3501 section 6.3.1: the mailbox selected before is left even when the new one cannot be opened.
    before, session.view = session.view, None
    folder_name = locate(session.account, mailbox)
    if not session.account.exists(folder_name):
        raise No("Mailbox does not exist, or must be subscribed to.", b"NONEXISTENT")
    if before is not None and before.folder_name == folder_name:
        folder = before.folder  # which knows it already
    else:
        folder = Folder(session.account.path(folder_name))
    try:
        snapshot = folder.scan()
    except OSError as error:
        raise No("Unable to open this mailbox.") from error
    session.view = View(mailbox, folder_name, folder, snapshot, read_only)
    return session.view


def _describe(view: View) -> Iterator[bytes]:
    yield from view.flag_lines()
    yield from view.sizes()
    unseen = view.first_unseen()
    if unseen is not None:
        yield response.untagged(b"OK [UNSEEN %d] First unseen" % unseen)
    yield response.untagged(b"OK [UIDVALIDITY %d] Ok" % view.uidvalidity)
    yield response.untagged(b"OK [UIDNEXT %d] Predicted next UID" % view.uidnext)


FEATURE = Feature(
    rfc="RFC 3501 sections 6.3.1, 6.3.2",
    commands=(
        Command(b"SELECT", operands.mailbox, select, b"Ok"),
        Command(b"EXAMINE", operands.mailbox, examine, b"Ok"),
    ),
)
