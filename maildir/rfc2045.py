"""The MIME tree of a message, by offsets into the octets on disk (RFC 2045, 2046; never raises on any content).

    parse(octets) -> Part         the message as a tree

    Part.header       its own header (rfc822.Header): of the message for the root, of the body part below a multipart,
                      of the message in a message/rfc822
    Part.start, .body, .end       octets[start:body] header with its empty line, octets[body:end] content
    Part.maintype, .subtype       lower case; text/plain where Content-Type is missing or makes no sense
    Part.parameters               of Content-Type, see rfc2231
    Part.children                 the parts of a multipart, else empty
    Part.message                  the message in a message/rfc822, else None
    Part.fields       unfolded values of its MIME_FIELDS by lower-case name, the first one of each
    Part.encoding()               Content-Transfer-Encoding in lower case, b"" when there is none
    Part.newlines(), .wire_octets()   of the content, counted when asked for
    Part.walk()                   this part and all below, in order

What a header of usual size says about its part is remembered: most parts have one of a few.

One pass: a search for the line starts that open boundaries share runs forward only, in C, so the time grows with the
size and not with size times parts.

Decisions where the RFCs leave room, or mail breaks them:
  * Content-Type counts with or without MIME-Version.  (The original ignores it without; people get to see raw MIME.)
  * A delimiter line is `--boundary`, or `--boundary--` to close, with nothing else on it but blanks.  A longer line
    that begins like a boundary is text: `--abc` is no delimiter of `ab`, which the original takes it for.
  * The innermost open multipart owns a delimiter; what is still open inside ends there.  After its closing delimiter
    a multipart has no more parts.
  * A part ends before the line end that precedes the delimiter, at every level of nesting.
  * A multipart without boundary, without a single part, or below MAX_DEPTH is shown as text/plain, so that somebody
    can read it.  Behind MAX_PARTS parts or MAX_DASHES look-alikes nothing is divided any more.
  * message/rfc822 is divided whatever its encoding says (RFC 2045 §6.4 allows none).
"""

from __future__ import annotations

import re
from functools import partial

from maildir import lineends, rfc2231
from maildir.lineends import LineEnds
from maildir.memory import Memory
from maildir.rfc822 import Header, body_start, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from maildir.lineends import Octets
    from maildir.rfc2231 import Parameters

    Description = tuple[tuple[bytes, bytes] | None, Parameters, dict[bytes, bytes]]

MAX_PARTS = 10_000  # parts of one message, nested messages counted too
MAX_DEPTH = 100  # levels of multipart and message/rfc822
MAX_BOUNDARY = 1_000  # octets of a boundary (RFC 2046 allows 70)
MAX_DASHES = 1_000_000  # lines that begin as the open boundaries do and are none

MAX_KNOWN = 512  # headers that are remembered with what they say
MAX_KNOWN_OCTETS = 300  # of one of them

MIME_FIELDS = frozenset(
    b"content-" + name
    for name in (b"type", b"transfer-encoding", b"id", b"description", b"md5", b"disposition", b"language", b"location")
)

_PADDING = 100  # blanks behind a boundary
_NEAR = 1000  # octets within which the header of a body part nearly always ends

_TYPE = re.compile(rb"([!#-'*+\-.0-9A-Z^-~]++)\s*+/\s*+([!#-'*+\-.0-9A-Z^-~]++)", re.IGNORECASE)
_TOKEN = re.compile(rb"[!#-'*+\-.0-9A-Z^-~]++", re.IGNORECASE)
_CR = 13
_TEXT = (b"text", b"plain")
_MESSAGE = (b"message", b"rfc822")


class Part:
    """One node of the tree; see the module for its attributes."""

    __slots__ = ("children", "end", "fields", "header", "line_ends", "maintype", "message", "parameters", "subtype")

    def __init__(self, header: Header, line_ends: LineEnds, default: tuple[bytes, bytes]) -> None:
        self.header = header
        self.end = header.body
        self.line_ends = line_ends
        self.children: list[Part] = []
        self.message: Part | None = None
        kind, self.parameters, self.fields = _described(header)
        self.maintype, self.subtype = kind or default

    @property
    def start(self) -> int:
        """Where its header begins."""
        return self.header.start

    @property
    def body(self) -> int:
        """Where its content begins."""
        return self.header.body

    def end_at(self, end: int) -> None:
        """Let it end there, if that is not before it begins."""
        self.end = end = max(self.header.start, end)
        if end < self.header.body:
            self.header.body = end

    def encoding(self) -> bytes:
        """Content-Transfer-Encoding in lower case, b"" when there is none."""
        match = _TOKEN.match(self.fields.get(b"content-transfer-encoding", b""))
        return match[0].lower() if match else b""

    def newlines(self) -> int:
        """Line ends in the content."""
        return self.line_ends.newlines(self.body, self.end)

    def wire_octets(self) -> int:
        """The size of the content on the wire."""
        return self.line_ends.wire_octets(self.body, self.end)

    def walk(self) -> Iterator[Part]:
        """The part and all below, each before what is in it."""
        todo = [self]
        while todo:
            part = todo.pop()
            yield part
            todo.extend(reversed(part.children))
            if part.message is not None:
                todo.append(part.message)


def content_type(value: bytes) -> tuple[bytes, bytes, Parameters]:
    """Type, subtype and parameters of a Content-Type value; text/plain for what is none (RFC 2045 §5.2)."""
    word, parameters = rfc2231.split(value)
    match = _TYPE.match(word)
    return (match[1].lower(), match[2].lower(), parameters) if match else (*_TEXT, parameters)


_known = Memory()  # Description by header
_known_types = Memory()  # media type and parameters by the field's value


def _described(header: Header) -> Description:
    """What a header says: the media type, None where it has no field for that, its parameters, and the MIME_FIELDS."""
    lines = header.lines()
    known: Description | None = _known[lines] if len(lines) <= MAX_KNOWN_OCTETS else None
    if known is None:
        fields = header.firsts(MIME_FIELDS)
        value = fields.get(b"content-type")
        if value is None:
            known = None, (), fields
        else:
            maintype, subtype, parameters = _known_types[value] or content_type(value)
            known = (maintype, subtype), parameters, fields
            if maintype == b"multipart":
                return known  # no other one has its boundary
            _remember(_known_types, value, (maintype, subtype, parameters))
        _remember(_known, lines, known)
    return known


def _remember(memory: Memory, octets: bytes, what: object) -> None:
    if len(octets) <= MAX_KNOWN_OCTETS:
        memory.remember(octets, what, MAX_KNOWN)


def parse(octets: Octets, line_ends: LineEnds | None = None) -> Part:
    """Divide a message; line_ends can be shared by who asks for other counts of the same octets."""
    root = Part(scan(octets), line_ends or LineEnds(octets), _TEXT)
    if root.maintype in (b"multipart", b"message"):
        _Divider(root).divide()
    else:
        root.end = len(octets)
    return root


def _shared(boundaries: Collection[bytes]) -> bytes:
    """What all of them begin with."""
    if len(boundaries) < 2:
        return next(iter(boundaries), b"")
    first, last = min(boundaries), max(boundaries)
    length = 0
    while length < len(first) and first[length] == last[length]:  # sorted, so last differs no later than others do
        length += 1
    return first[:length]


class _Forward:
    """A search whose starting points only grow: no octet is looked at twice."""

    __slots__ = ("clear", "found", "octets", "what")

    def __init__(self, octets: Octets, what: bytes) -> None:
        self.octets = octets
        self.what = what
        self.found = -1
        self.clear = 0  # nothing begins before this offset, from the last start on

    def find(self, start: int, end: int) -> int:
        """As bytes.find()."""
        if self.found < start:
            begin = max(start, self.clear)
            self.found = lineends.find(self.octets, self.what, begin, end)
            if self.found < 0:
                self.clear = max(begin, end - len(self.what) + 1)
                return -1
        return self.found if self.found + len(self.what) <= end else -1


class _Divider:
    """The state of one pass: the parts that are open, outermost first, and the boundaries that may come."""

    def __init__(self, root: Part) -> None:
        self.root = root
        self.octets = octets = root.header.octets
        self.end = len(octets)
        self.at = root.body  # the line start from which to look for the next delimiter
        self.open: list[Part] = []
        self.leaf: Part | None = None  # the part inside the last open one that nothing can be in
        self.boundaries: list[bytes] = []  # one for each open part, b"" for those that wait for none
        self.levels: dict[bytes, int] = {}  # boundary: the innermost part that has it
        self.prefix = b""
        self.parts = 0
        self.dashes = 0
        self.find = octets.find if isinstance(octets, bytes) else partial(lineends.find, octets)
        self.is_near = True  # whether headers have ended within _NEAR octets so far
        self.searches: dict[bytes, _Forward] = {}

    def divide(self) -> None:
        """Find all that is in the root."""
        if self._add(self.root):
            self._begin(self.root.body, _TEXT)
        while self.levels and self.parts < MAX_PARTS:
            delimiter = self._delimiter(self.at, self.end)
            if delimiter is None:
                break
            line, next_line, level, opens = delimiter
            self._end_from(level + 1, self._cut(line))
            if opens:
                self._begin(next_line, _MESSAGE if self.open[-1].subtype == b"digest" else _TEXT)
            else:
                self.at = next_line
                self.boundaries[-1] = b""
                self._expect()
        self._end_from(0, self.end)

    def _begin(self, start: int, default: tuple[bytes, bytes]) -> None:
        """Open the part whose header begins at start, and where that is a message/rfc822 also the message in it."""
        while True:
            body = self.at = self._body_start(start)
            if self.levels and self.find(self.prefix, max(start - 1, 0), body) >= 0:
                delimiter = self._delimiter(start, body)  # one in the header ends it
                if delimiter is not None:
                    self.at = delimiter[0] + 1
                    body = max(start, self._cut(delimiter[0]))
            part = Part(Header(self.octets, start, body), self.root.line_ends, default)
            if not self._add(part):
                return
            start, default = body, _TEXT

    def _body_start(self, start: int) -> int:
        octets = self.octets
        if self.is_near and octets[start : start + 1] not in (b"\n", b"\r"):
            empty = octets.find(b"\n\n", start, start + _NEAR)
            if empty >= 0 and octets.find(b"\n\r\n", start, empty + 1) < 0:
                return empty + 2
            self.is_near = False  # or the same octets would be searched for one part after the other
        return body_start(octets, start, self.end, self._find)

    def _add(self, part: Part) -> bool:
        """Open a part; whether it is a message/rfc822, in which another one is to be opened."""
        depth = len(self.open)
        if depth:
            parent = self.open[-1]
            if parent.maintype == b"multipart":
                parent.children.append(part)
            else:
                parent.message = part
        self.parts += 1
        if part.maintype not in (b"multipart", b"message"):
            self.leaf = part
            return False
        boundary = b""
        if part.maintype == b"multipart" and depth < MAX_DEPTH - 1:
            boundary = (rfc2231.find(part.parameters, b"boundary") or b"").rstrip()
        self.open.append(part)
        self.boundaries.append(boundary if len(boundary) <= MAX_BOUNDARY else b"")
        if boundary:
            self._expect()
        is_message = (part.maintype, part.subtype) == _MESSAGE
        return is_message and depth < MAX_DEPTH - 1 and self.parts < MAX_PARTS

    def _expect(self) -> None:
        """Reckon anew what delimiters may come."""
        self.levels = {boundary: level for level, boundary in enumerate(self.boundaries) if boundary}
        self.prefix = b"\n--" + _shared(self.levels)

    def _delimiter(self, start: int, end: int) -> tuple[int, int, int, bool] | None:
        """The next delimiter from the line at start on: the line end before it, the next line, whose it is, opening."""
        octets, levels = self.octets, self.levels
        at = max(start - 1, 0)
        while levels and self.dashes < MAX_DASHES:
            at = self.find(self.prefix, at, end)
            if at < 0:
                return None
            longest = at + 3 + MAX_BOUNDARY + _PADDING
            line_end = octets.find(b"\n", at + 1, longest)
            if line_end < 0 and longest >= self.end:
                line_end = self.end
            if line_end >= 0:
                line = octets[at + 3 : line_end].rstrip()
                if line in levels:
                    return at, min(line_end + 1, self.end), levels[line], True
                if line.endswith(b"--") and line[:-2] in levels:
                    return at, min(line_end + 1, self.end), levels[line[:-2]], False
            self.dashes += 1
            at = max(line_end, at + 1)
        return None

    def _cut(self, line_end: int) -> int:
        """Where the content before a delimiter ends: the line end between them belongs to neither (RFC 2046 §5.1.1)."""
        return line_end - (line_end > 0 and self.octets[line_end - 1] == _CR)

    def _end_from(self, level: int, end: int) -> None:
        """End the parts from this level inwards."""
        leaf = self.leaf
        if leaf is not None:
            leaf.end_at(end)
            self.leaf = None
        if level == len(self.open):
            return
        for part in self.open[level:]:
            part.end_at(end)
            opaque = part.maintype == b"multipart" and not part.children
            if opaque or ((part.maintype, part.subtype) == _MESSAGE and part.message is None):
                (part.maintype, part.subtype), part.parameters = _TEXT, ()
        expected = any(self.boundaries[level:])
        del self.open[level:], self.boundaries[level:]
        if expected:
            self._expect()

    def _find(self, what: bytes, start: int, end: int) -> int:
        search = self.searches.get(what)
        if search is None:
            search = self.searches[what] = _Forward(self.octets, what)
        return search.find(start, end)
