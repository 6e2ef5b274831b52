"""The section of a message that a client asks for, and the part of it (RFC 3501 §6.4.5, §9).

    section         = "[" [section-spec] "]"
    section-spec    = section-msgtext / (section-part ["." section-text])
    section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
    section-part    = nz-number *("." nz-number)
    section-text    = section-msgtext / "MIME"
    header-list     = "(" header-fld-name *(SP header-fld-name) ")"
    partial         = "<" number "." nz-number ">"

Taken besides, as the original does: `HEADER.FIELDS name` without parentheses, and a partial without a count, which
reaches to the end; a comma instead of its dot hides the count.
"""

import re

from imapd.wire.malformed import Malformed
from imapd.wire.response import string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imapd.wire.lexer import Arguments

MAX_PARTS = 100  # numbers in one section-part; no message is nested deeper
MAX_FIELDS = 1000  # names in one header-list

_FIELDS = (b"HEADER.FIELDS", b"HEADER.FIELDS.NOT")
_TEXTS = (b"HEADER", b"TEXT", b"MIME", *_FIELDS)
_PARTS = re.compile(rb"[0-9]{1,10}(?:\.[0-9]{1,10})*")
_TEXT = re.compile(rb"[A-Za-z.]+")
_PARTIAL = re.compile(rb"<([0-9]{1,20})(?:([.,])([0-9]{1,20}))?>")
_FIELD_NAME = re.compile(rb"[!-~]*\Z")
_LARGEST = 0xFFFFFFFFFFFFFFFF


class Section:
    """What stands between the brackets: part numbers, then `text` (upper case, b"" for the whole), then field names."""

    __slots__ = ("fields", "part", "text")

    def __init__(self, part: tuple[int, ...] = (), text: bytes = b"", fields: tuple[bytes, ...] = ()) -> None:
        self.part = part
        self.text = text
        self.fields = fields

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Section):
            return NotImplemented
        return (self.part, self.text, self.fields) == (other.part, other.text, other.fields)

    def __hash__(self) -> int:
        return hash((self.part, self.text, self.fields))

    def __repr__(self) -> str:
        return f"Section({self.part!r}, {self.text!r}, {self.fields!r})"

    @property
    def octets(self) -> bytes:
        """With brackets, as a response names it: key words in upper case, field names quoted as they were given."""
        names = [b"%d" % number for number in self.part]
        if self.text:
            names.append(self.text)
        fields = b" (" + b" ".join(string(field) for field in self.fields) + b")" if self.text in _FIELDS else b""
        return b"[" + b".".join(names) + fields + b"]"

    def response_name(self, start: int | None = None, name: bytes = b"BODY") -> bytes:
        """What a FETCH response calls the data: `BODY[1.MIME]`, and `<start>` when a part of it was asked for."""
        return name + self.octets + (b"" if start is None else b"<%d>" % start)


def parse_section(args: "Arguments") -> Section:
    """Parse from the opening bracket through the closing one.  Raises Malformed."""
    args.expect_char(b"[")
    part = _parse_part(args)
    text = (args.maybe_match(_TEXT) or b"").upper()
    if part and text:
        if text[:1] != b".":
            raise args.malformed("a dot after the part number")
        text = text[1:]
        if not text:
            raise args.malformed("HEADER, TEXT or MIME after the dot")
    if text and (text not in _TEXTS or (text == b"MIME" and not part)):
        raise args.malformed("a body section")
    fields = _parse_fields(args) if text in _FIELDS else ()
    args.expect_char(b"]")
    return Section(part, text, fields)


def parse_partial(args: "Arguments") -> tuple[int, int | None] | None:
    """Start and count (None: to the end) when the next octet opens a partial, else None.  Raises Malformed."""
    if args.peek != b"<":
        return None
    text = args.maybe_match(_PARTIAL)
    match = _PARTIAL.match(text) if text else None
    if match is None:
        raise args.malformed("a partial as <start.count>")
    start = min(int(match[1]), _LARGEST)
    if match[2] != b".":
        return start, None
    count = min(int(match[3]), _LARGEST)
    if count == 0:
        raise args.malformed("a partial with a count above 0")
    return start, count


def _parse_part(args: "Arguments") -> tuple[int, ...]:
    text = args.maybe_match(_PARTS)
    if text is None:
        return ()
    part = tuple(int(number) for number in text.split(b".", MAX_PARTS + 1))
    if len(part) > MAX_PARTS or 0 in part:
        raise args.malformed(f"at most {MAX_PARTS} part numbers, each above 0")
    return part


def _parse_fields(args: "Arguments") -> tuple[bytes, ...]:
    if not args.maybe_open():
        # A bare name ends at the closing bracket, which could be part of an astring.
        return (_checked(args, args.string() if args.peek in (b'"', b"{") else args.atom()),)
    fields = [_checked(args, args.astring())]
    while not args.maybe_close():
        if len(fields) >= MAX_FIELDS:
            raise Malformed(f"More than {MAX_FIELDS} header field names")
        fields.append(_checked(args, args.astring()))
    return tuple(fields)


def _checked(args: "Arguments", name: bytes) -> bytes:
    """The name, if it is of what can stand in a header field's name: it comes back in the response."""
    if not _FIELD_NAME.match(name):
        raise args.malformed("a header field name of printable ASCII")
    return name
