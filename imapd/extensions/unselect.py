"""UNSELECT (RFC 3691): leave the mailbox without removing anything."""

from __future__ import annotations

from imapd import operands
from imapd.feature import SELECTED, Command, Feature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session


def unselect(session: Session) -> Generator[bytes, None, None]:
    """Forget the view."""
    session.view = None
    yield from ()


FEATURE = Feature(
    rfc="RFC 3691",
    capabilities=("UNSELECT",),
    commands=(Command(b"UNSELECT", operands.nothing, unselect, b"mailbox closed.", states=SELECTED),),
)
