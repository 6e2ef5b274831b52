"""CREATE (RFC 3501 section 6.3.3)."""

from __future__ import annotations

from imapd import operands
from imapd.errors import No
from imapd.feature import Command, Feature
from imapd.mailbox import INBOX_FOLDER, locate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session


def create(session: Session, mailbox: bytes) -> Generator[bytes, None, bytes]:
    """Make a folder; a name that ends in the separator only announces children (RFC 3501), so nothing is made."""
    folder = locate(session.account, mailbox.removesuffix(b"."))
    if folder == INBOX_FOLDER:
        raise No("INBOX already exists!", b"ALREADYEXISTS")
    if not mailbox.endswith(b"."):
        try:
            session.account.create(folder)
        except FileExistsError:
            raise No("Cannot create this folder.", b"ALREADYEXISTS") from None
    yield from ()
    return b'"%s" created.' % mailbox.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


FEATURE = Feature(
    rfc="RFC 3501 section 6.3.3",
    commands=(Command(b"CREATE", operands.mailbox, create, b"created."),),
)
