"""What the server says, encoded: every function returns bytes, and nothing that goes in can begin a line of its own.

    response-tagged = tag SP resp-cond-state CRLF                    RFC 3501 §9
    response-data   = "*" SP (…) CRLF
    continue-req    = "+" SP (resp-text / base64) CRLF
    resp-text       = ["[" resp-text-code "]" SP] text
    string          = quoted / literal

What is not one of ours (8-bit in a quoted string, a mailbox name's encoding) is the caller's to have put right.
"""

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CRLF = b"\r\n"
NIL = b"NIL"

QUOTED_OCTETS = 1024  # longer strings go as literals: nobody has to scan them, and clients cap their quoted strings

_UNQUOTABLE = re.compile(rb"[\r\n\x00]")
_PLAIN = re.compile(rb"[ !#-\[\]-~]*\Z")  # printable ASCII that needs no backslash
_PRINTABLE = re.compile(rb"[ -~]*\Z")
_ATOM = re.compile(rb"[!#$&'+-\[^-z|}~]+\Z")
_BREAKS = re.compile(r"[\r\n\x00]+")


def quoted(value: bytes) -> bytes:
    """A quoted string.  8-bit octets are the caller's business; raises ValueError for CR, LF and NUL."""
    if _PLAIN.match(value):
        return b'"' + value + b'"'
    if _UNQUOTABLE.search(value):
        raise ValueError("CR, LF and NUL cannot be quoted")
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def literal(value: bytes) -> bytes:
    """`{n}` CR LF and the octets."""
    return b"{%d}\r\n" % len(value) + value


def string(value: bytes) -> bytes:
    """Quoted where that is possible in ASCII, else a literal."""
    if len(value) <= QUOTED_OCTETS and _PRINTABLE.match(value):
        return quoted(value)
    return literal(value)


def nstring(value: bytes | None) -> bytes:
    """NIL for None, else a string."""
    return NIL if value is None else string(value)


def astring(value: bytes) -> bytes:
    """As it is where it is an atom (and would not be read as NIL), else a string."""
    return value if _ATOM.match(value) and value.upper() != NIL else string(value)


def mailbox(name: bytes) -> bytes:
    """A mailbox name as it goes on the wire: always quoted, as the original does, unless it cannot be.

    The caller has encoded it: modified UTF-7, or UTF-8 for a client that enabled it (RFC 6855 §3).
    """
    return literal(name) if _UNQUOTABLE.search(name) else quoted(name)


def flags(names: "Iterable[bytes]") -> bytes:
    """A parenthesised list of flags, in the order given."""
    return b"(" + b" ".join(names) + b")"


def untagged(*parts: bytes) -> bytes:
    """`* ` and the parts with blanks between."""
    return b"* " + b" ".join(parts) + CRLF


def numbers(name: bytes, values: "list[int]") -> bytes:
    """`* NAME 3 5 8`, as SEARCH and SORT answer."""
    text = joined(values)
    return untagged(name, text) if text else untagged(name)


def joined(values: "list[int]") -> bytes:
    """Numbers with blanks between them."""
    # The text of a list is made several times faster than one number after the other.
    return str(values)[1:-1].replace(",", "").encode("ascii")


def tagged(tag: bytes, status: bytes, text: str, code: bytes = b"") -> bytes:
    """`TAG OK [CODE] text`; the code without its brackets.  Line breaks in the text become blanks.

    With tag b"*" it is the untagged status response: `* OK [UIDVALIDITY 3] Ok`, `* BYE ...`.
    """
    return tag + b" " + status + b" " + _resp_text(text, code) + CRLF


def continuation(text: str = "OK", code: bytes = b"") -> bytes:
    """`+ ` and text: go on, with the literal, or the next SASL response (text is then the challenge in base64)."""
    return b"+ " + _resp_text(text, code) + CRLF


def _resp_text(text: str, code: bytes) -> bytes:
    octets = _BREAKS.sub(" ", text).encode("utf-8", "backslashreplace")
    return b"[" + code + b"] " + octets if code else octets
