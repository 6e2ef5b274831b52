r"""CLOSE (RFC 3501 section 6.4.2): leave the mailbox, removing what is marked \Deleted without telling."""

from __future__ import annotations

from imapd import operands, removal
from imapd.feature import SELECTED, Command, Feature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session


def close(session: Session) -> Generator[bytes, None, None]:
    """Remove and leave; a mailbox opened by EXAMINE is only left."""
    view = session.selected()
    if not view.read_only:
        removal.remove_deleted(session, range(len(view)))
    session.view = None
    yield from ()


FEATURE = Feature(
    rfc="RFC 3501 section 6.4.2",
    commands=(Command(b"CLOSE", operands.nothing, close, b"mailbox closed.", states=SELECTED),),
)
