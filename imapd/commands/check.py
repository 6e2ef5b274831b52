"""CHECK (RFC 3501 section 6.4.1): as NOOP, for every change is on disk before it is acknowledged."""

from __future__ import annotations

from imapd import operands
from imapd.feature import SELECTED, Command, Feature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session


def check(session: Session) -> Generator[bytes, None, None]:
    """Do nothing; the row says that the folder is looked at."""
    yield from ()


FEATURE = Feature(
    rfc="RFC 3501 section 6.4.1",
    commands=(Command(b"CHECK", operands.nothing, check, b"CHECK completed", states=SELECTED, refreshes=True),),
)
