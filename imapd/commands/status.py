"""STATUS (RFC 3501 section 6.3.10)."""

from __future__ import annotations

from imapd.errors import Bad, No
from imapd.feature import Command, Feature, StatusItem
from imapd.mailbox import locate
from imapd.wire import response
from maildir.folder import Folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session
    from imapd.wire.lexer import Arguments


def parse(arguments: Arguments) -> tuple[bytes, list[bytes]]:
    """Read `SP mailbox SP "(" status-att *(SP status-att) ")"`; one item may stand without parentheses."""
    mailbox = arguments.mailbox()
    items = []
    if arguments.maybe_open():
        while not arguments.maybe_close():
            items.append(arguments.keyword_upper())
    else:
        items.append(arguments.keyword_upper())
    return mailbox, items


def status(session: Session, mailbox: bytes, asked: list[bytes]) -> Generator[bytes, None, None]:
    """Look at a folder without changing it."""
    for name in asked:
        if name not in session.status_items:
            raise Bad(f"Unknown STATUS item {name.decode('ascii', 'backslashreplace')}.")
    folder = locate(session.account, mailbox)
    if not session.account.exists(folder):
        raise No("Mailbox does not exist, or must be subscribed to.", b"NONEXISTENT")
    try:
        found = Folder(session.account.path(folder)).status()
    except OSError as error:
        raise No("STATUS failed", b"ALERT") from error
    # In the original's order, whatever the order asked.
    values = [b"%s %d" % (row.name, row.value(found)) for row in session.status_items.values() if row.name in asked]
    yield response.untagged(b"STATUS %s (%s)" % (response.mailbox(mailbox), b" ".join(values)))


FEATURE = Feature(
    rfc="RFC 3501 section 6.3.10",
    commands=(Command(b"STATUS", parse, status, b"STATUS Completed."),),
    status_items=(
        StatusItem(b"MESSAGES", lambda found: found.messages),
        StatusItem(b"RECENT", lambda found: found.recent),
        StatusItem(b"UIDNEXT", lambda found: found.uidnext),
        StatusItem(b"UIDVALIDITY", lambda found: found.uidvalidity),
        StatusItem(b"UNSEEN", lambda found: found.unseen),
    ),
)
