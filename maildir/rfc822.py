"""The header of a message, scanned over the octets on disk (RFC 5322 §2.2, obsolete and broken forms taken).

Pure functions over bytes or an mmap; nothing here raises on any content.  Offsets are into the octets that were given,
so a field can be cut out exactly as it stands.

    scan(octets, start=0, end=None) -> Header      one pass over the header block that begins at `start`
        Header.start, .body                        the block, with its empty line, is octets[start:body]
        Header.fields                              [(name start, name end, value start, value end)], in order
        Header.first(name), .every(name)           unfolded values by lower-case name
        Header.collect(names)                      {lower-case name: [unfolded values]}, one pass for many names
        Header.firsts(names)                       {lower-case name: unfolded value of the first field}, the same
        Header.picked(names)                       the fields with one of these lower-case names as they stand, together
        Header.raw(field)                          the octets of one field with its line end, as on disk
    body_start(octets, start, end) -> int          where the header ends, when the fields are of no interest
    unfold(value) -> bytes                         a field's value on one line, trimmed

Fields by name are found by one expression made for these names, which leaps over all other lines; a list of all fields
is made for those who ask for it.

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
MAX_EXPRESSIONS = 16  # sets of names that are remembered with what finds their fields
MAX_NAMES = 100  # names for which such an expression is made

# Each octet is looked at once or twice, whatever the input.  (Possessive only on single characters: on groups Python
# before 3.11.5 gets it wrong.)  A field's name is what RFC 5322 allows, and raw 8-bit; blanks before the colon are
# obsolete syntax (§4.5).  Any other line has no groups.
_FIELD = re.compile(rb"([!-9;-~\x80-\xff]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*)\n?|[^\n]*+\n?")
_NAME = re.compile(rb"[!-9;-@\[-~\x80-\xff]+")  # lower case


class Header:
    """One scanned header block; see the module for its attributes."""

    __slots__ = ("_end", "_fields", "_lines", "body", "octets", "start")

    def __init__(self, octets: Octets, start: int, body: int) -> None:
        self.octets = octets
        self.start = start
        self.body = body
        self._end = body  # body can be cut later by who divides the message; the fields are those of the whole block
        self._fields: list[Field] | None = None
        self._lines: bytes | None = None

    @property
    def fields(self) -> list[Field]:
        """Where name and value of each field are."""
        if self._fields is None:
            found = islice(_FIELD.finditer(self.octets, self.start, self._end), MAX_FIELDS)
            # The spans of name and value, which are (-1, -1) for a line that is no field.
            self._fields = [regs[1] + regs[2] for regs in [match.regs for match in found] if regs[1][0] >= 0]
        return self._fields

    def lines(self) -> bytes:
        """The block behind a line end, so that each field stands behind one; without what is beyond MAX_FIELDS."""
        if self._lines is None:
            lines = b"\n" + self.octets[self.start : self._end]
            if len(lines) > MAX_FIELDS and lines.count(b"\n") > MAX_FIELDS:
                *_, last = islice(_FIELD.finditer(self.octets, self.start, self._end), MAX_FIELDS)
                lines = lines[: last.end() - self.start + 1]
            self._lines = lines
        return self._lines

    def first(self, name: bytes) -> bytes | None:
        """The unfolded value of the first field of this lower-case name, or None."""
        match = _expression(frozenset((name,))).search(self.lines())
        return unfold(match[2]) if match else None

    def every(self, name: bytes) -> list[bytes]:
        """The unfolded values of all fields of this lower-case name, in order."""
        return self.collect((name,)).get(name, [])

    def collect(self, names: Collection[bytes]) -> dict[bytes, list[bytes]]:
        """The unfolded values of all fields with one of these lower-case names; names without a field are left out."""
        found: dict[bytes, list[bytes]] = {}
        for name, value in _expression(frozenset(names)).findall(self.lines()):
            lowered = name.lower()
            if lowered in found:
                found[lowered].append(unfold(value))
            else:
                found[lowered] = [unfold(value)]
        return found if len(names) <= MAX_NAMES else {name: found[name] for name in found if name in names}

    def firsts(self, names: frozenset[bytes]) -> dict[bytes, bytes]:
        """The unfolded values of the first fields of these lower-case names, MAX_NAMES at most."""
        found: dict[bytes, bytes] = {}
        for name, value in _expression(names).findall(self.lines()):
            lowered = name.lower()
            if lowered not in found:
                found[lowered] = unfold(value)
        return found

    def picked(self, names: Collection[bytes]) -> bytes:
        """The fields with one of these lower-case names as on disk, in order, each with a line end."""
        found = _expression(frozenset(names)).finditer(self.lines())
        if len(names) <= MAX_NAMES:
            fields = [match[0] for match in found]
        else:
            fields = [match[0] for match in found if match[1].lower() in names]
        return b"".join([*fields, b"\n"])[1:] if fields else b""

    def raw(self, field: Field) -> bytes:
        """The octets of a field with its line end, as on disk."""
        end = field[3]
        return self.octets[field[0] : end + 1 if end < self.body else end]


_expressions: dict[frozenset[bytes], re.Pattern[bytes]] = {}


def _expression(names: frozenset[bytes]) -> re.Pattern[bytes]:
    """Finds the fields with one of these lower-case names (any field, for many names), each behind a line end."""
    expression = _expressions.get(names)
    if expression is None:
        if len(_expressions) >= MAX_EXPRESSIONS:
            _expressions.clear()
        found = rb"[!-9;-~\x80-\xff]++"
        if len(names) <= MAX_NAMES:
            found = b"|".join(sorted(re.escape(name) for name in names if _NAME.fullmatch(name))) or rb"(?!)"
        # What follows a name is blanks or the colon, so that none is taken for a longer one.
        expression = re.compile(rb"\n(" + found + rb")[ \t]*+:[ \t]*+([^\n]*+(?:\n[ \t][^\n]*+)*)", re.IGNORECASE)
        _expressions[names] = expression
    return expression


def scan(octets: Octets, start: int = 0, end: int | None = None) -> Header:
    """Scan the header block that begins at start, and at end at the latest."""
    return Header(octets, start, body_start(octets, start, len(octets) if end is None else end))


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
        value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    return value.strip(b" \t\r\n")
