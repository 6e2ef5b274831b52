"""NOOP (RFC 3501 section 6.1.2): a chance to tell what has changed."""

from __future__ import annotations

from imapd import operands
from imapd.feature import Command, Feature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session


def noop(session: Session) -> Generator[bytes, None, None]:
    """Do nothing; the row says that the folder is looked at."""
    yield from ()


FEATURE = Feature(
    rfc="RFC 3501 section 6.1.2",
    commands=(Command(b"NOOP", operands.nothing, noop, b"NOOP completed", refreshes=True),),
)
