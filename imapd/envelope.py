"""ENVELOPE (RFC 3501 §7.4.2).

    render(header, utf8=False) -> bytes   the parenthesized list, from an rfc822.Header; needs no MIME tree

A field that is not there is NIL, one that is there but empty is "" (addresses: NIL).  Repeated fields are joined with
a comma, as in the original.  Groups are given by their marks.
"""

from __future__ import annotations

from imapd.headertext import nstring
from maildir import addresses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maildir.addresses import Address
    from maildir.rfc822 import Header

_NAMES = frozenset(
    (b"date", b"subject", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"in-reply-to", b"message-id")
)


def render(header: Header, utf8: bool = False) -> bytes:
    """The ENVELOPE of the message with this header."""
    found = header.collect(_NAMES)

    def text(name: bytes) -> bytes:
        values = found.get(name)
        return b"NIL" if values is None else nstring(b", ".join(values), utf8)

    def people(name: bytes, default: bytes = b"NIL") -> bytes:
        values = found.get(name)
        return default if values is None else _render_addresses(addresses.parse(b", ".join(values)), default, utf8)

    author = people(b"from")
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        text(b"date"),
        text(b"subject"),
        author,
        people(b"sender", author),
        people(b"reply-to", author),
        people(b"to"),
        people(b"cc"),
        people(b"bcc"),
        text(b"in-reply-to"),
        text(b"message-id"),
    )


def _render_addresses(people: list[Address], default: bytes, utf8: bool) -> bytes:
    if not people:
        return default
    rendered = [
        b"(%b %b %b %b)" % (nstring(name, utf8), nstring(adl, utf8), nstring(mailbox, utf8), nstring(host, utf8))
        for name, adl, mailbox, host in people
    ]
    return b"(" + b"".join(rendered) + b")"
