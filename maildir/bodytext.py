"""What a message says, as text to search in (RFC 3501 §6.4.4: decoded, whatever its encoding and charset).

decoded_text(part) -> str            the content of a part: transfer encoding and charset undone
header_lines(header) -> Iterator[str]   `Name: value` of each field, unfolded, encoded words decoded
"""

from __future__ import annotations

from binascii import Error, a2b_base64, a2b_qp

from maildir import charsets, encodedword, rfc2231
from maildir.rfc822 import unfold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from maildir.rfc822 import Header
    from maildir.rfc2045 import Part

MAX_TEXT = 1 << 26  # octets on disk of one part that are decoded; what is behind them is not found by a search

_NOT_BASE64 = bytes(
    octet for octet in range(256) if octet not in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)


def decoded_text(part: Part) -> str:
    """The content of a part as text; octets that make no sense become U+FFFD or are dropped."""
    octets = part.header.octets[part.body : min(part.end, part.body + MAX_TEXT)]
    return charsets.decode(_without_encoding(octets, part.encoding()), rfc2231.find(part.parameters, b"charset") or b"")


def header_lines(header: Header) -> Iterator[str]:
    """The fields of a header as text, in order."""
    octets = header.octets
    for name_start, name_end, value_start, value_end in header.fields:
        name = octets[name_start:name_end].decode("ascii", "replace")
        yield f"{name}: {encodedword.decode(unfold(octets[value_start:value_end]))}"


def _without_encoding(octets: bytes, encoding: bytes) -> bytes:
    if encoding == b"quoted-printable":
        return a2b_qp(octets)
    if encoding != b"base64":
        return octets
    try:
        return a2b_base64(octets)
    except Error:
        # Cut short, padded in the middle or mixed with other text: the alphabet's octets, as far as they make groups.
        octets = octets.translate(None, _NOT_BASE64)
        over = len(octets) % 4
        return a2b_base64(octets[:-1] if over == 1 else octets + b"=" * (-over % 4))
