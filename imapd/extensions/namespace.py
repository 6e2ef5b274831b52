"""NAMESPACE (RFC 2342): everything of the account is below INBOX."""

from __future__ import annotations

from imapd import operands
from imapd.feature import Command, Feature
from imapd.wire import response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session


def namespace(session: Session) -> Generator[bytes, None, None]:
    """Tell the personal namespace; there are no others yet."""
    yield response.untagged(b'NAMESPACE (("INBOX." ".")) NIL NIL')


FEATURE = Feature(
    rfc="RFC 2342",
    capabilities=("NAMESPACE",),
    commands=(Command(b"NAMESPACE", operands.nothing, namespace, b"NAMESPACE completed."),),
)
