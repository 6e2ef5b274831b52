"""ENVELOPE (RFC 3501 §7.4.2).

    render(header, utf8=False) -> bytes   the parenthesized list, from an rfc822.Header; needs no MIME tree

A field that is not there is NIL, one that is there but empty is "" (addresses: NIL).  Repeated fields are joined with
a comma, as in the original.  Groups are given by their marks.
"""

from __future__ import annotations

from imapd.headertext import is_plain, nstring
from maildir import addresses
from maildir.memory import Memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maildir.addresses import Address
    from maildir.rfc822 import Header

_NAMES = frozenset(
    (b"date", b"subject", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"in-reply-to", b"message-id")
)


MAX_REMEMBERED = 4096  # addresses, and whole fields, that are remembered as they are told: most come again and again
MAX_OCTETS = 200  # of one of them

_addresses = Memory()
_fields = Memory()


def render(header: Header, utf8: bool = False) -> bytes:
    """The ENVELOPE of the message with this header."""
    found = header.collect(_NAMES)

    def text(name: bytes) -> bytes:
        values = found.get(name)
        return b"NIL" if values is None else nstring(b", ".join(values), utf8)

    def people(name: bytes, default: bytes = b"NIL") -> bytes:
        values = found.get(name)
        return default if values is None else _people(b", ".join(values), utf8) or default

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


def _people(value: bytes, utf8: bool) -> bytes:
    """The addresses of a field, b"" when there are none."""
    if utf8:
        return _list([_address(person, utf8) for person in addresses.parse(value)])
    told: bytes | None = _fields[value]
    if told is None:
        pieces = addresses.split(value)
        known = [_addresses[piece] or _usual(piece) for piece in [piece.lstrip(b" ") for piece in pieces]]
        if known and all(known):
            told = _list(known)
        else:
            told = _list([_address(person, utf8) for person in addresses.parse(value)])
        _remember(_fields, value, told)
    return told


def _usual(piece: bytes) -> bytes:
    """A piece of a list that is one address, b"" for any other."""
    person = addresses.usual(piece)
    if person is None:
        return b""
    told = _address(person, False)
    _remember(_addresses, piece, told)
    return told


def _remember(memory: Memory, value: bytes, told: bytes) -> None:
    if len(value) <= MAX_OCTETS and len(told) <= 2 * MAX_OCTETS:
        memory.remember(value, told, MAX_REMEMBERED)


def _address(person: Address, utf8: bool) -> bytes:
    name, adl, mailbox, host = person
    if name and mailbox and host and adl is None and is_plain(name + mailbox + host):
        return b'("%b" NIL "%b" "%b")' % (name, mailbox, host)
    return b"(%b %b %b %b)" % (nstring(name, utf8), nstring(adl, utf8), nstring(mailbox, utf8), nstring(host, utf8))


def _list(told: list[bytes]) -> bytes:
    return b"(" + b"".join(told) + b")" if told else b""
