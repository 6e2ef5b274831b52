"""RENAME (RFC 3501 section 6.3.5).

Folders below move along and uids stay.  Renaming INBOX moves its messages into a new folder and leaves it empty.
"""

from __future__ import annotations

import errno

from imapd import trash
from imapd.errors import No
from imapd.feature import Command, Feature
from imapd.mailbox import INBOX_FOLDER, folder_of, locate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session
    from imapd.wire.lexer import Arguments


def parse(arguments: Arguments) -> tuple[bytes, bytes]:
    """Read `SP mailbox SP mailbox`."""
    return arguments.mailbox(), arguments.mailbox()


def rename(session: Session, old: bytes, new: bytes) -> Generator[bytes, None, None]:
    """Give a mailbox another name."""
    source = locate(session.account, old.removesuffix(b"."))
    target = folder_of(new.removesuffix(b"."))
    _refuse_what_cannot_move(session, source, target)
    try:
        if source == INBOX_FOLDER:
            session.account.move_inbox(target)
        else:
            session.account.rename(source, target)
    except FileNotFoundError:
        raise No("Mailbox does not exist, or must be subscribed to.", b"NONEXISTENT") from None
    except FileExistsError:
        raise No("RENAME failed: File exists", b"ALREADYEXISTS") from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise No("RENAME failed: Invalid argument", b"CANNOT") from None
    if source == INBOX_FOLDER and session.view is not None and session.view.folder_name == INBOX_FOLDER:
        yield from session.view.changes_if_readable()


def _refuse_what_cannot_move(session: Session, source: bytes, target: bytes) -> None:
    if target == INBOX_FOLDER:
        raise No("RENAME failed: File exists", b"ALREADYEXISTS")
    if trash.folder() in (source, target):
        raise No("Reserved folder name - cannot rename.", b"CANNOT")
    if session.view is None or source == INBOX_FOLDER:
        return
    if session.view.folder_name == source or session.view.folder_name.startswith(source + b"."):
        raise No("Can't RENAME the currently-open folder", b"INUSE")


FEATURE = Feature(
    rfc="RFC 3501 section 6.3.5",
    commands=(Command(b"RENAME", parse, rename, b"Folder renamed."),),
)
