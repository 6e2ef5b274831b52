"""BODY and BODYSTRUCTURE (RFC 3501 §7.4.2).

    render(part, extended, utf8=False) -> bytes   the parenthesized list, from an rfc2045.Part

Types, parameter names, dispositions and encodings are in lower case, as the original has them.  A part that names no
encoding is 7bit, or 8bit when there are such octets in it.  Languages and location are there (RFC 3501; the original
leaves them out): one language as a string, several as a list.
"""

from __future__ import annotations

from imapd import envelope
from imapd.headertext import is_plain, nstring
from maildir import rfc2231
from maildir.lineends import let_go
from maildir.memory import Memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maildir.rfc2045 import Part
    from maildir.rfc2231 import Parameters

    Told = tuple[bytes, bytes, bytes]

MAX_LANGUAGES = 100  # of one part
MAX_REMEMBERED = 512  # parts' fields that are remembered as they are told: many have the same ones
MAX_OCTETS = 300  # of one of them

_EXTENSION = frozenset((b"content-disposition", b"content-language", b"content-location"))
_BLOCK = 1 << 16  # octets that are looked through at once for 8-bit ones


def render(part: Part, extended: bool, utf8: bool = False) -> bytes:
    """BODYSTRUCTURE, or BODY when not extended, of a message or a part and all in it."""
    pieces: list[bytes] = []
    _append(pieces, part, extended, utf8)
    return b"".join(pieces)


def _append(pieces: list[bytes], part: Part, extended: bool, utf8: bool) -> None:
    if not part.children:
        _append_single(pieces, part, extended, utf8)
        return
    pieces.append(b"(")
    for child in part.children:
        (_append if child.children else _append_single)(pieces, child, extended, utf8)
    pieces.append(b" " + nstring(part.subtype, utf8))
    if extended:
        pieces.append(b" " + _parameters(part.parameters, utf8) + _extension(part.fields, utf8))
    pieces.append(b")")


def _append_single(pieces: list[bytes], part: Part, extended: bool, utf8: bool) -> None:
    before, encoding, after = _told(part, utf8)
    if not encoding:
        encoding = b'"7bit"' if _is_ascii(part) else b'"8bit"'
    body, end, line_ends = part.header.body, part.end, part.line_ends
    pieces.append(b"%b%b %d" % (before, encoding, line_ends.wire_octets(body, end)))
    if part.message is not None:
        pieces.append(b" " + envelope.render(part.message.header, utf8) + b" ")
        _append(pieces, part.message, extended, utf8)
    if part.message is not None or part.maintype == b"text":
        pieces.append(b" %d" % line_ends.newlines(body, end))
    pieces.append(after if extended else b")")


_remembered = Memory()  # Told by what the header says


def _told(part: Part, utf8: bool) -> Told:
    """What the header alone says: all before the encoding, the encoding or b"", and the extension data."""
    # A header goes with two types where the part is shown as text/plain because it cannot be divided.
    key = part.maintype, part.subtype, utf8, *part.fields.items()
    told: Told | None = _remembered[key]
    if told is None:
        told = _tell(part, utf8)
        if sum(map(len, told)) <= MAX_OCTETS and sum(map(len, part.fields.values())) <= MAX_OCTETS:
            _remembered.remember(key, told, MAX_REMEMBERED)
    return told


def _tell(part: Part, utf8: bool) -> Told:
    fields = part.fields
    encoding = part.encoding()
    return (
        b"(%b %b %b %b %b "
        % (
            nstring(part.maintype, utf8),
            nstring(part.subtype, utf8),
            _parameters(part.parameters, utf8),
            nstring(fields.get(b"content-id") or None, utf8),
            nstring(fields.get(b"content-description") or None, utf8),
        ),
        nstring(encoding, utf8) if encoding else b"",
        b" %b%b)" % (nstring(fields.get(b"content-md5") or None, utf8), _extension(fields, utf8)),
    )


def _extension(fields: dict[bytes, bytes], utf8: bool) -> bytes:
    """Disposition, languages and location."""
    if _EXTENSION.isdisjoint(fields):
        return b" NIL NIL NIL"
    return b" %b %b %b" % (
        _disposition(fields.get(b"content-disposition"), utf8),
        _languages(fields.get(b"content-language"), utf8),
        nstring(fields.get(b"content-location") or None, utf8),
    )


def _parameters(parameters: Parameters, utf8: bool) -> bytes:
    if not parameters:
        return b"NIL"
    texts = [text for parameter in parameters for text in parameter]
    if is_plain(b"".join(texts)):
        return b'("' + b'" "'.join(texts) + b'")'
    return b"(" + b" ".join([nstring(text, utf8) for text in texts]) + b")"


def _disposition(value: bytes | None, utf8: bool) -> bytes:
    if not value:
        return b"NIL"
    word, parameters = rfc2231.split(value)
    if not (word or parameters):
        return b"NIL"
    # What is not understood is an attachment (RFC 2183 §2.8).
    return b"(" + nstring(word.lower() or b"attachment", utf8) + b" " + _parameters(parameters, utf8) + b")"


def _languages(value: bytes | None, utf8: bool) -> bytes:
    if not value:
        return b"NIL"
    tags = [tag.partition(b"(")[0].strip() for tag in value.split(b",", MAX_LANGUAGES)[:MAX_LANGUAGES]]
    tags = [tag for tag in tags if tag]
    if len(tags) < 2:
        return nstring(tags[0] if tags else None, utf8)
    return b"(" + b" ".join(nstring(tag, utf8) for tag in tags) + b")"


def _is_ascii(part: Part) -> bool:
    octets = part.header.octets
    for at in range(part.body, part.end, _BLOCK):
        end = min(at + _BLOCK, part.end)
        if not octets[at:end].isascii():
            return False
        let_go(octets, at, end)
    return True
