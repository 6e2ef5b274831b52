"""What BODY[section] is of a message (RFC 3501 §6.4.5).

    extract(message, section) -> Piece      section: imapd.wire.section.Section; a part that is not there is empty
    find_part(root, numbers) -> Part|None   the part with these numbers; () is the message itself

Where RFC 3501 is silent: n.HEADER and n.TEXT of a part that is no message are that part's own header and content, and
n.MIME is its MIME-Version and Content-* fields, as in the original.  Header fields that were picked out are always
followed by an empty line, and a partial counts in octets on the wire, that line included.
"""

from __future__ import annotations

from imapd.wiretext import Piece

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imapd.wire.section import Section
    from maildir.message import Message
    from maildir.rfc822 import Header
    from maildir.rfc2045 import Part


def extract(message: Message, section: Section) -> Piece:
    """The octets that a section specification names; the MIME tree is not made for what does not need it."""
    if not section.part:
        return _of_message(message, section)
    part = find_part(message.tree, section.part)
    if part is None:
        return Piece(b"", 0, 0)
    if section.text == b"":
        return Piece(message.octets, part.body, part.end, message.line_ends)
    if section.text == b"MIME":
        return _picked(part.header, _is_mime)
    part = part.message or part
    return _of_text(message, section, part.header, part.end)


def find_part(root: Part, numbers: tuple[int, ...]) -> Part | None:
    """The part that is named by these numbers."""
    part, is_message = root, True
    for number in numbers:
        if part.message is not None and not is_message:
            part, is_message = part.message, True
        if part.children:
            if number > len(part.children):
                return None
            part, is_message = part.children[number - 1], False
        elif is_message and number == 1:
            is_message = False  # the content of a message that is no multipart is its part 1
        else:
            return None
    return part


def _of_message(message: Message, section: Section) -> Piece:
    if section.text == b"":
        return Piece(message.octets, 0, len(message.octets), message.line_ends)
    return _of_text(message, section, message.header, len(message.octets))


def _of_text(message: Message, section: Section, header: Header, end: int) -> Piece:
    if section.text == b"HEADER":
        return Piece(message.octets, header.start, header.body, message.line_ends)
    if section.text == b"TEXT":
        return Piece(message.octets, header.body, end, message.line_ends)
    names = {name.lower() for name in section.fields}
    if section.text == b"HEADER.FIELDS":
        text = header.picked(names) + b"\n"
        return Piece(text, 0, len(text))
    return _picked(header, lambda name: name not in names)


def _picked(header: Header, wanted: Callable[[bytes], bool]) -> Piece:
    """The fields whose lower-case name is wanted, and an empty line."""
    octets = header.octets
    picked = [header.raw(field) for field in header.fields if wanted(octets[field[0] : field[1]].lower())]
    text = b"".join(field if field.endswith(b"\n") else field + b"\n" for field in picked) + b"\n"
    return Piece(text, 0, len(text))


def _is_mime(name: bytes) -> bool:
    return name.startswith(b"content-") or name == b"mime-version"
