"""DELETE (RFC 3501 section 6.3.4)."""

from __future__ import annotations

from imapd import operands, trash
from imapd.errors import No
from imapd.feature import Command, Feature
from imapd.mailbox import INBOX_FOLDER, locate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session


def delete(session: Session, mailbox: bytes) -> Generator[bytes, None, bytes | None]:
    """Remove a folder with its messages; folders below it stay."""
    if mailbox.endswith(b"."):
        return b"Folder directory delete punted."
    folder = locate(session.account, mailbox)
    if folder in (INBOX_FOLDER, trash.folder()):
        raise No("Cannot delete this folder.", b"CANNOT")
    if session.view is not None and session.view.folder_name == folder:
        raise No("Cannot delete currently-open folder.", b"INUSE")
    try:
        session.account.delete(folder)
    except FileNotFoundError:
        raise No("Mailbox does not exist, or must be subscribed to.", b"NONEXISTENT") from None
    yield from ()
    return None


FEATURE = Feature(
    rfc="RFC 3501 section 6.3.4",
    commands=(Command(b"DELETE", operands.mailbox, delete, b"Folder deleted."),),
)
