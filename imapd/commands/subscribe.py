"""SUBSCRIBE and UNSUBSCRIBE (RFC 3501 sections 6.3.6 and 6.3.7)."""

from __future__ import annotations

from imapd import operands
from imapd.feature import Command, Feature
from imapd.mailbox import folder_of, subscription_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session


def subscribe(session: Session, mailbox: bytes) -> Generator[bytes, None, bytes | None]:
    """Add to the list; the mailbox need not exist."""
    if mailbox.endswith(b"."):
        return b"Folder directory subscribe punted."
    folder_of(mailbox)
    session.account.subscribe(subscription_of(mailbox))
    yield from ()
    return None


def unsubscribe(session: Session, mailbox: bytes) -> Generator[bytes, None, bytes | None]:
    """Take off the list; that it was not there is no error."""
    if mailbox.endswith(b"."):
        return b"Folder directory unsubscribe punted."
    folder_of(mailbox)
    session.account.unsubscribe(subscription_of(mailbox))
    yield from ()
    return None


FEATURE = Feature(
    rfc="RFC 3501 sections 6.3.6, 6.3.7",
    commands=(
        Command(b"SUBSCRIBE", operands.mailbox, subscribe, b"Folder subscribed."),
        Command(b"UNSUBSCRIBE", operands.mailbox, unsubscribe, b"Folder unsubscribed."),
    ),
)
