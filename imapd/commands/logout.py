"""LOGOUT (RFC 3501 section 6.1.3)."""

from __future__ import annotations

from imapd import operands
from imapd.feature import Command, Feature
from imapd.wire import response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session


def logout(session: Session) -> Generator[bytes, None, None]:
    """Say BYE; the driver stops when the tagged OK is out."""
    session.logged_out = True
    yield response.untagged(b"BYE Courier-IMAP server shutting down")


FEATURE = Feature(
    rfc="RFC 3501 section 6.1.3",
    commands=(Command(b"LOGOUT", operands.nothing, logout, b"LOGOUT completed"),),
)
