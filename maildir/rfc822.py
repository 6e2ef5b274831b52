"""The header of a message, scanned over the octets on disk (RFC 5322 §2.2, obsolete and broken forms taken).

Pure functions over bytes or an mmap; nothing here raises on any content.  Offsets are into the octets that were given,
so a field can be cut out exactly as it stands.

    scan(octets, start=0, end=None) -> Header      one pass over the header block that begins at `start`
        Header.start, .body                        the block, with its empty line, is octets[start:body]
        Header.fields                              [(name start, name end, value start, value end)], in order
        Header.first(name), .every(name)           unfolded values by lower-case name
        Header.collect(names)                      {lower-case name: [unfolded values]}, one pass for many names
        Header.raw(field)                          the octets of one field with its line end, as on disk
    body_start(octets, start, end) -> int          where the header ends, when the fields are of no interest
    unfold(value) -> bytes                         a field's value on one line, trimmed

What ends a header is an empty line (LF or CRLF), or the end of the octets.  A line that is neither a field nor the
continuation of one ("From " of an mbox, a stray line) stays in the header but is in no field, so what a client gets
as BODY[HEADER] and BODY[TEXT] is always the whole message.
"""

from __future__ import annotations

import re
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from maildir.lineends import Octets

    Find = Callable[[bytes, int, int], int]
    Field = tuple[int, int, int, int]

EMPTY_LINES = (b"\n\n", b"\n\r\n")  # with the end of the line before

MAX_HEADER = 1 << 20  # octets; what stands behind them is body, even without an empty line
MAX_FIELDS = 10_000  # fields of one header; further ones are only in the header as a whole

# Each octet is looked at once or twice, whatever the input.  (Possessive only on single characters: on groups Python
# before 3.11.5 gets it wrong.)  A field's name is what RFC 5322 allows, and raw 8-bit; blanks before the colon are
# obsolete syntax (§4.5).  Any other line has no groups.
_FIELD = re.compile(rb"([!-9;-~\x80-\xff]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*)\n?|[^\n]*+\n?")
_FOLD = re.compile(rb"\r?\n")


class Header:
    """One scanned header block; see the module for its attributes."""

    __slots__ = ("body", "fields", "octets", "start")

    def __init__(self, octets: Octets, start: int, body: int, fields: list[Field]) -> None:
        self.octets = octets
        self.start = start
        self.body = body
        self.fields = fields

    def first(self, name: bytes) -> bytes | None:
        """The unfolded value of the first field of this lower-case name, or None."""
        octets = self.octets
        length = len(name)
        for name_start, name_end, value_start, value_end in self.fields:
            if name_end - name_start == length and octets[name_start:name_end].lower() == name:
                return unfold(octets[value_start:value_end])
        return None

    def every(self, name: bytes) -> list[bytes]:
        """The unfolded values of all fields of this lower-case name, in order."""
        return self.collect((name,)).get(name, [])

    def collect(self, names: Collection[bytes]) -> dict[bytes, list[bytes]]:
        """The unfolded values of all fields with one of these lower-case names; names without a field are left out."""
        octets = self.octets
        found: dict[bytes, list[bytes]] = {}
        for name_start, name_end, value_start, value_end in self.fields:
            name = octets[name_start:name_end].lower()
            if name in names:
                found.setdefault(name, []).append(unfold(octets[value_start:value_end]))
        return found

    def raw(self, field: Field) -> bytes:
        """The octets of a field with its line end, as on disk."""
        end = field[3]
        return self.octets[field[0] : end + 1 if end < self.body else end]


def scan(octets: Octets, start: int = 0, end: int | None = None) -> Header:
    """Scan the header block that begins at start, and at end at the latest."""
    body = body_start(octets, start, len(octets) if end is None else end)
    return Header(octets, start, body, fields_between(octets, start, body))


def fields_between(octets: Octets, start: int, end: int) -> list[Field]:
    """The fields of a header block whose extent is known."""
    found = islice(_FIELD.finditer(octets, start, end), MAX_FIELDS)
    # The spans of name and value, which are (-1, -1) for a line that is no field.
    return [regs[1] + regs[2] for regs in [match.regs for match in found] if regs[1][0] >= 0]


def body_start(octets: Octets, start: int, end: int, find: Find | None = None) -> int:
    """Where the body begins: behind the first empty line, or where the header must end.

    `find(one of EMPTY_LINES, start, end)` can stand in for octets.find, with a memory of what was searched before.
    """
    find = find or octets.find
    first = octets[start : min(start + 2, end)]
    if first[:1] == b"\n":
        return start + 1
    if first == b"\r\n":
        return start + 2
    limit = min(end, start + MAX_HEADER)
    empty = find(b"\n\n", start, limit)
    # The header of a file with LF is not searched beyond its end for the other form.
    empty_crlf = find(b"\n\r\n", start, limit if empty < 0 else empty + 1)
    if empty_crlf >= 0:
        return empty_crlf + 3
    if empty >= 0:
        return empty + 2
    if limit == end:
        return end
    # Cut between two lines where there are any, so that no CR is parted from its LF.
    return octets.rfind(b"\n", start, limit) + 1 or limit


def unfold(value: bytes) -> bytes:
    """A field's value on one line: line ends taken out (RFC 5322 §2.2.3), blanks at both ends too."""
    if b"\n" in value:
        value = _FOLD.sub(b"", value)
    return value.strip(b" \t\r\n")
