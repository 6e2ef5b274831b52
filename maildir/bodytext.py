"""Looking for text in whole messages, all transfer encodings and charsets undone (SEARCH BODY and TEXT).

    Phrase(words).is_in(message, with_headers) -> bool   whether a text of the message holds the phrase
    texts(message, with_headers) -> Iterator[str]        what is looked through, piece by piece: each field, each part
    folded_texts(message, most) -> (str, str) | None     all of it for an index: of header fields, of bodies
    folded(text) -> str                                  a text as a phrase sees it
    contents(part) -> Iterator[bytes]                    a part without its transfer encoding, in pieces of bounded size

A text holds a phrase when its words, which are casefolded and without blanks, stand in it one behind the other,
whatever its case and whatever blanks and line ends are between them.

Decoding and folding take several times as long as looking for octets, so they are left out where they would change
nothing: octets that are ASCII, and mean that in their charset, are looked through as they are, and others of such
charsets are decoded only when they have octets that no text with the phrase can lack.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, a2b_qp

from maildir import charsets, encodedword, rfc2231
from maildir.lineends import let_go

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from maildir.message import Message
    from maildir.rfc822 import Header
    from maildir.rfc2045 import Part

MAX_TEXT = 1 << 23  # octets on disk that are decoded at once: as text they can take four times the memory, or more
OVERLAP = 1 << 18  # octets, or more, that two pieces have in common: what a client can search for is whole in one

_MOST_OCTETS = 4  # of a character, as a rule

_NOT_BASE64 = bytes(
    octet for octet in range(256) if octet not in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)

_ASCII_BLANKS = rb"[\t-\r\x1c-\x20]+"  # what str.split() takes for blanks
# The octets of all blanks in all charsets that keep ASCII: some have a digit or @ as their second octet.
_ANY_BLANKS = rb"[\t-\r\x1c-\x200-9@\x80-\xff]+"

# ASCII that letters beyond ASCII become without case: where a word has it, its octets may not be in a text.
_LIGATURES = ("ffi", "ffl", "ff", "fi", "fl", "k", "ss", "st", "s")
_WITH_MARK = "ahijtwy"  # ... with something that is not ASCII behind it
_WITH_APOSTROPHE = "n"  # ... before it


class Phrase:
    """See the module."""

    __slots__ = ("_core_expression", "_cores", "_expression", "_octet_expression", "_octets", "_words")

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._expression = re.compile(r"\s+".join(map(re.escape, words)))
        # Words that are not ASCII are in no text that is.
        self._octets = [word.encode() for word in words] if all(map(str.isascii, words)) else None
        self._octet_expression = re.compile(_ASCII_BLANKS.join(map(re.escape, self._octets or ())))
        cores = [core(word) for word in words]
        self._cores = [octets for octets, _, _ in cores]
        self._core_expression = re.compile(_longest_run(cores))

    def is_in(self, message: Message, with_headers: bool) -> bool:
        """Whether a text of the message, or with them a field of its headers, holds the phrase."""
        if not self._words:
            return next(texts(message, with_headers), None) is not None
        for part in message.tree.walk():
            if with_headers and self._in_header(part.header):
                return True
            if part.maintype == b"text" and self._in_part(part):
                return True
        return False

    def is_in_text(self, text: str) -> bool:
        """Whether a text holds the phrase."""
        text = text.casefold()
        # Most texts lack one of the words, and that is found fast.
        for word in self._words:
            if word not in text:
                return False
        return len(self._words) < 2 or self._expression.search(text) is not None

    def _in_ascii(self, octets: bytes) -> bool:
        if self._octets is None:
            return False
        octets = octets.lower()
        for word in self._octets:
            if word not in octets:
                return False
        if len(self._octets) < 2:
            return True
        return self._octet_expression.search(octets, octets.find(self._octets[0])) is not None

    def _may_be_in(self, octets: bytes) -> bool:
        """Whether octets in a charset that keeps ASCII can be a text that holds the phrase."""
        octets = octets.lower()
        for core in self._cores:
            if core not in octets:
                return False
        return len(self._cores) < 2 or self._core_expression.search(octets) is not None

    def _in_header(self, header: Header) -> bool:
        lines = header.lines()
        if lines.isascii() and b"=?" not in lines and not self._in_ascii(lines):
            return False  # and so it is in none of the fields
        return any(self.is_in_text(encodedword.decode(header.raw(field))) for field in header.fields)

    def _in_part(self, part: Part) -> bool:
        charset = charset_of(part)
        keeps_ascii = charsets.keeps_ascii(charset)
        for octets in contents(part):
            if not keeps_ascii:
                found = self.is_in_text(charsets.decode(octets, charset))
            elif octets.isascii():
                found = self._in_ascii(octets)
            else:
                found = self._may_be_in(octets) and self.is_in_text(charsets.decode(octets, charset))
            if found:
                return True
        return False


def core(word: str) -> tuple[bytes, bool, bool]:
    """Octets that every text with a casefolded word has, in lower case; whether the word begins and ends with them.

    That is for charsets that keep ASCII.
    """
    doubtful = bytearray(not sign.isascii() for sign in word)
    for run in re.finditer("[\0-\x7f]+", word):
        _doubt(doubtful, run)
    start, end = max((match.span() for match in re.finditer(b"\0*", doubtful)), key=lambda span: span[1] - span[0])
    return word[start:end].encode(), start == 0, end == len(word)


def _doubt(doubtful: bytearray, run: re.Match[str]) -> None:
    """Mark what in a run of ASCII can be written in other ways."""
    text, begin = run[0], run.start()
    if text[-1] in _WITH_MARK:
        doubtful[run.end() - 1] = 1
    if text[0] in _WITH_APOSTROPHE:
        doubtful[begin] = 1
    for ligature in _LIGATURES:
        length = len(ligature)
        for at in range(1 - length, len(text)):
            first, last = max(at, 0), min(at + length, len(text))
            if text[first:last] == ligature[first - at : last - at]:
                doubtful[begin + first : begin + last] = b"\1" * (last - first)


def _longest_run(cores: list[tuple[bytes, bool, bool]]) -> bytes:
    """An expression for the longest row of words of which it is known what stands between them."""
    rows = [b""]
    ends = False
    for octets, begins, ends_next in cores:
        if begins and ends:
            rows[-1] += _ANY_BLANKS + re.escape(octets)
        else:
            rows.append(re.escape(octets))
        ends = ends_next
    return max(rows, key=len)


def texts(message: Message, with_headers: bool) -> Iterator[str]:
    """The texts of a message: of each part, with them the fields of its header."""
    for part in message.tree.walk():
        if with_headers:
            for field in part.header.fields:
                yield encodedword.decode(part.header.raw(field))
        if part.maintype == b"text":
            charset = charset_of(part)
            for octets in contents(part):
                yield charsets.decode(octets, charset)


def folded_texts(message: Message, most: int) -> tuple[str, str] | None:
    """The folded texts of the header fields, and of the bodies, with a line end between two; None for too much.

    That is for more than so many characters, and for octets that nearly always are more.
    """
    fields: list[str] = []
    bodies: list[str] = []
    left = most
    for part in message.tree.walk():
        header = part.header
        for field in header.fields:
            fields.append(folded(encodedword.decode(header.raw(field))))
            left -= len(fields[-1]) + 1
        if part.maintype == b"text":
            charset = charset_of(part)
            for octets in contents(part):
                if len(octets) > _MOST_OCTETS * left:
                    return None
                bodies.append(folded(charsets.decode(octets, charset)))
                left -= len(bodies[-1]) + 1
        if left < 0:
            return None
    return "\n".join(fields), "\n".join(bodies)


def folded(text: str) -> str:
    """A text as searches see it: without case, runs of blanks and line ends as one, none at the ends."""
    return " ".join(text.casefold().split())


def charset_of(part: Part) -> bytes:
    """The charset that a part says it is in, b"" when it says nothing."""
    return rfc2231.find(part.parameters, b"charset") or b""


def contents(part: Part) -> Iterator[bytes]:
    """The content of a part without its transfer encoding, a large one in pieces that overlap.

    They are cut at line ends where there are any.  Octets that make no sense are dropped.
    """
    octets, encoding = part.header.octets, part.encoding()
    start, end = part.body, 0
    while end < part.end:
        end = min(part.end, start + MAX_TEXT)
        if end < part.end:
            end = octets.rfind(b"\n", end - OVERLAP, end) + 1 or end
        yield _without_encoding(octets[start:end], encoding)
        let_go(octets, start, end)
        back = end - OVERLAP
        start = octets.rfind(b"\n", back - OVERLAP, back) + 1 or back


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
