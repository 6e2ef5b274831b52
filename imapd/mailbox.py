"""Mailbox names on the wire and folder names on disk.

`INBOX` is the maildir itself, `INBOX.a.b` its directory `.a.b`.  On disk names are UTF-8, on the wire modified UTF-7,
converted part by part between the dots; after ENABLE UTF8=ACCEPT the wire is UTF-8 too.
"""

from __future__ import annotations

from imapd.errors import No
from imapd.wire import mutf7

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maildir.account import Account

INBOX = b"INBOX"
INBOX_FOLDER = b"."
SEPARATOR = b"."

# A folder is one directory entry, so its name can be no longer than the file system takes.
MAX_FOLDER_OCTETS = 255


def folder_of(mailbox: bytes) -> bytes:
    """The folder's directory name (`.` for INBOX); raises No for what can be no mailbox of ours."""
    if mailbox.upper() == INBOX:
        return INBOX_FOLDER
    if mailbox[:6].upper() != b"INBOX." or len(mailbox) == 6:
        raise No("Invalid mailbox name.")
    return SEPARATOR + SEPARATOR.join(_part_on_disk(part) for part in mailbox[6:].split(SEPARATOR))


def mailbox_of(folder: bytes) -> bytes:
    """The name on the wire; a directory name that is not UTF-8 is shown by its octets as if they were Latin-1.

    One from before 5.0, which is the wire's modified UTF-7 itself, is told as it is.
    """
    if folder == INBOX_FOLDER:
        return INBOX
    if _is_old(folder):
        return INBOX + folder
    return SEPARATOR.join([INBOX, *(_part_on_wire(part) for part in folder[1:].split(SEPARATOR))])


def _part_on_disk(part: bytes) -> bytes:
    try:
        name = mutf7.decode(part).encode("utf-8")
    except ValueError:
        raise No("Invalid mailbox name.") from None
    if not name or b"/" in name or b"\0" in name or b"." in name or len(name) > MAX_FOLDER_OCTETS - 1:
        raise No("Invalid mailbox name.")
    return name


def _part_on_wire(part: bytes) -> bytes:
    try:
        return mutf7.encode(part.decode("utf-8"))
    except UnicodeDecodeError:
        return mutf7.encode(part.decode("latin-1"))


def subscription_of(mailbox: bytes) -> bytes:
    """The name as courierimapsubscribed spells it: UTF-8, the client's spelling of INBOX kept."""
    first, *rest = mailbox.split(SEPARATOR)
    return SEPARATOR.join([first, *(_part_on_disk(part) for part in rest)])


def from_subscription(name: bytes) -> bytes:
    """The wire name of a line in courierimapsubscribed."""
    first, *rest = name.split(SEPARATOR)
    return SEPARATOR.join([first, *(_part_on_wire(part) for part in rest)])


def locate(account: Account, mailbox: bytes) -> bytes:
    """The folder's directory name, whether it exists or not; raises No for what can be no mailbox of ours.

    Before Courier-IMAP 5.0 directories had the modified UTF-7 of the wire.  Such a folder goes on working under its
    name, unless there is one in UTF-8.
    """
    folder = folder_of(mailbox)
    if b"&" in mailbox and not account.exists(folder):
        old = mailbox[5:]
        if account.exists(old):
            return old
    return folder


def _is_old(folder: bytes) -> bool:
    """True for a directory name that is modified UTF-7 of something that is not ASCII."""
    if b"&" not in folder or not folder.isascii():
        return False
    try:
        return not all(mutf7.decode(part).isascii() for part in folder[1:].split(SEPARATOR))
    except ValueError:
        return False
