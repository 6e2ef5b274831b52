"""The FETCH items of RFC 3501 section 6.4.5: how each is told for one message."""

from __future__ import annotations

from imapd import bodystructure, envelope, section, zone
from imapd.feature import CONTENT, FILE, HEADER, NOTHING, Basis, FetchItem
from imapd.view import ALL_FLAGS, flag_words
from imapd.wire import datetime
from imapd.wire.section import Section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imapd.message import Message
    from imapd.session import Session
    from imapd.view import View
    from imapd.wire.fetchatt import Item
    from imapd.wiretext import Piece

_PLAIN_FLAGS = [b"FLAGS (%s)" % flag_words(bits, False) for bits in range(ALL_FLAGS + 1)]

_WHOLE, _HEADER, _TEXT = Section(), Section(text=b"HEADER"), Section(text=b"TEXT")


def _uids(view: View, indexes: Sequence[int]) -> Sequence[int]:
    uids = view.uids
    return uids[indexes[0] : indexes[-1] + 1] if isinstance(indexes, range) else [uids[index] for index in indexes]


def _flags(view: View, indexes: Sequence[int]) -> list[bytes]:
    if view.recent or view.keywords:
        return [b"FLAGS " + view.flag_list(index) for index in indexes]
    flags = view.flags
    if isinstance(indexes, range):
        return list(map(_PLAIN_FLAGS.__getitem__, flags[indexes[0] : indexes[-1] + 1]))
    return [_PLAIN_FLAGS[flags[index]] for index in indexes]


def _seconds(message: Message) -> bytes:
    return b"%d" % int(message.mtime)


def _date(seconds: bytes) -> bytes:
    return b"INTERNALDATE " + datetime.internaldate(int(seconds))


def _internaldate(session: Session, message: Message, item: Item) -> bytes:
    return _date(_seconds(message))


def _size(session: Session, message: Message, item: Item) -> bytes:
    return b"RFC822.SIZE %d" % message.content.wire_octets


def _envelope(session: Session, message: Message, item: Item) -> bytes:
    return b"ENVELOPE " + envelope.render(message.head.header)


def _bodystructure(session: Session, message: Message, item: Item) -> bytes:
    return b"BODYSTRUCTURE " + bodystructure.render(message.content.tree, extended=True)


def _body(session: Session, message: Message, item: Item) -> bytes:
    return b"BODY " + bodystructure.render(message.content.tree, extended=False)


def _body_section(session: Session, message: Message, item: Item) -> Iterator[bytes]:
    assert item.section is not None  # noqa: S101
    is_header = item.section.text not in (b"", b"TEXT")
    return _text(session, item.response_name, _section(message, item), item.partial, is_header)


def _section(message: Message, item: Item) -> Piece:
    assert item.section is not None  # noqa: S101
    return section.extract(message.head if _section_reads(item) == HEADER else message.content, item.section)


def _section_octets(message: Message, item: Item) -> bytes:
    return b"".join(_section(message, item).chunks(item.partial))


def _section_reads(item: Item) -> int:
    assert item.section is not None  # noqa: S101
    return HEADER if not item.section.part and item.section.text.startswith(b"HEADER") else CONTENT


def _rfc822(session: Session, message: Message, item: Item) -> Iterator[bytes]:
    return _text(session, item.name, section.extract(message.content, _WHOLE), None, False)


def _rfc822_header(session: Session, message: Message, item: Item) -> Iterator[bytes]:
    return _text(session, item.name, section.extract(message.head, _HEADER), None, True)


def _rfc822_text(session: Session, message: Message, item: Item) -> Iterator[bytes]:
    return _text(session, item.name, section.extract(message.content, _TEXT), None, False)


def _text(
    session: Session, name: bytes, piece: Piece, partial: tuple[int, int | None] | None, is_header: bool
) -> Iterator[bytes]:
    """`NAME {n}` and n octets, in pieces; always a literal, as in the original."""
    octets = piece.size(partial)
    if is_header:
        session.header_octets += octets
    else:
        session.body_octets += octets
    yield b"%s {%d}\r\n" % (name, octets)
    yield from piece.chunks(partial)


def _named(item: Item) -> bytes:
    return item.name


def dated(item: Item | None = None) -> bytes:
    """What INTERNALDATE is remembered as: by the zone as well, for in another the same moment is another text."""
    return b"~internaldate " + zone.name()


def _header_fields(item: Item) -> bytes | None:
    """Chosen fields are remembered; a whole header is sooner read from the file than kept a second time."""
    assert item.section is not None  # noqa: S101
    if item.partial is not None or _section_reads(item) != HEADER:
        return None
    return item.response_name if item.section.text == b"HEADER.FIELDS" else b""


def _always(item: Item) -> bool:
    return True


def _unless_peek(item: Item) -> bool:
    return not item.peek


ITEMS = (
    FetchItem(b"UID", NOTHING, column=_uids, template=b"UID %d"),
    FetchItem(b"FLAGS", NOTHING, column=_flags),
    FetchItem(b"INTERNALDATE", FILE, _internaldate, kind=dated, basis=Basis(b"INTERNALDATE", _seconds, _date)),
    FetchItem(b"RFC822.SIZE", CONTENT, _size, kind=_named),
    FetchItem(b"ENVELOPE", HEADER, _envelope, kind=_named),
    FetchItem(b"BODYSTRUCTURE", CONTENT, _bodystructure, kind=_named),
    FetchItem(b"BODY", CONTENT, _body, kind=_named),
    FetchItem(
        b"BODY[]", _section_reads, _body_section, sets_seen=_unless_peek, kind=_header_fields, literal=_section_octets
    ),
    FetchItem(b"RFC822", CONTENT, _rfc822, sets_seen=_always),
    FetchItem(b"RFC822.HEADER", HEADER, _rfc822_header),
    FetchItem(b"RFC822.TEXT", CONTENT, _rfc822_text, sets_seen=_always),
)
