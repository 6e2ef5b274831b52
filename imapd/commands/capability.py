"""CAPABILITY (RFC 3501 section 6.1.1)."""

from __future__ import annotations

from couriertcpd import environ
from imapd import operands
from imapd.feature import Command, Feature
from imapd.wire import capability, response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session


def tell(session: Session) -> Generator[bytes, None, None]:
    """Answer with the words that the configuration and what is built leave standing."""
    tls = environ.enabled("IMAP_TLS")
    base = capability.configured(environ.text("IMAP_CAPABILITY"), environ.text("IMAP_CAPABILITY_TLS"), tls)
    sorts = environ.number("IMAP_DISABLETHREADSORT") <= 0
    off = capability.switched_off(environ.enabled("IMAP_MOVE_EXPUNGE_TO_TRASH"), sorts)
    words = capability.text(base, environ.text("IMAP_EXTENSIONS"), tls=tls, authenticated=True, off=off)
    yield response.untagged(b"CAPABILITY", words.encode())


FEATURE = Feature(
    rfc="RFC 3501 section 6.1.1",
    capabilities=("IMAP4rev1", "LITERAL+"),
    commands=(Command(b"CAPABILITY", operands.nothing, tell, b"CAPABILITY completed"),),
)
