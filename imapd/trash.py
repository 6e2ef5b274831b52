"""The trash folder's settings, as the original has them."""

from __future__ import annotations

from couriertcpd import environ
from maildir import trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maildir.account import Account


def folder() -> bytes:
    """The trash folder's directory name; it can be neither deleted nor renamed."""
    return b"." + (environ.octets("IMAP_TRASHFOLDERNAME") or b"Trash")


def takes_expunged() -> bool:
    """Whether expunged messages go to the trash (XMAGICTRASH)."""
    return environ.enabled("IMAP_MOVE_EXPUNGE_TO_TRASH")


def empty_old(account: Account) -> None:
    """Remove what has been in the trash for longer than IMAP_EMPTYTRASH says; at login and at LOGOUT."""
    setting = environ.text("IMAP_EMPTYTRASH")
    if setting:
        trash.empty(account, trash.rules(setting, folder()[1:].decode("utf-8", "surrogateescape")))
