"""A header value with parameters: `type; name=value; name="value"` (RFC 2045 §5.1, RFC 2183, RFC 2231).

    split(value) -> (word, parameters)      word: what stands before the first ";", comments and blanks taken off
                                            parameters: ((lower-case name, value), ...), continuations joined
    find(parameters, name) -> bytes|None    one value, percent-encoding undone (boundary, charset)
    find_text(parameters, name) -> str|None one value as text, by RFC 2231 or by the encoded words that many send

Continuations (`name*0`, `name*1*`) are joined, as RFC 2231 §6 demands of an IMAP server.  Where one of the pieces is in
the extended form, so is the joined value: its name keeps the `*` and its octets stay percent-encoded, for the client to
decode.  Of two parameters with one name the last one counts, as in the original.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    Parameters = tuple[tuple[bytes, bytes], ...]

MAX_PARAMETERS = 200  # of one field; further ones are left out

_COMMENTS = rb"(?:\s*+\((?:[^()\\]++|\\.)*\))*\s*+"
# A parameter begins at a ";" that stands in no quoted value.  A value without quotes reaches to the next ";", because
# `name=my file.txt` is what many programs write.
_PARAMETER = re.compile(
    rb";"
    + _COMMENTS
    + rb"([^\s=;\"]++)"
    + _COMMENTS
    + rb"="
    + _COMMENTS
    + rb"(?:\"((?:[^\"\\]++|\\.)*)[^;]*+|([^;]*+))",
    re.DOTALL,
)
# The same for a value without comments and escaped characters, which most are.
_PLAIN_PARAMETER = re.compile(rb";\s*+([^\s=;\"]++)\s*+=\s*+(?:\"([^\"]*+)[^;]*+|([^;]*+))")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_SECTION = re.compile(rb"(.+?)\*([0-9]{1,4})(\*?)\Z", re.DOTALL)
_NOT_EXTENDED = re.compile(rb"[^0-9A-Za-z!#$&+\-.^_`{|}~]")  # RFC 2231 §7: attribute-char
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")


def split(value: bytes) -> tuple[bytes, Parameters]:
    """The word before the first semicolon, and the parameters."""
    start = value.find(b";")
    word = value if start < 0 else value[:start]
    return word.partition(b"(")[0].strip(), _parameters(value, start) if start >= 0 else ()


def find(parameters: Parameters, name: bytes) -> bytes | None:
    """The octets of a parameter's value, percent-encoding undone and the charset dropped; None when it is not there."""
    for key, value in parameters:
        if key == name:
            return value
        if key == name + b"*":
            return _extended(value)[1]
    return None


def find_text(parameters: Parameters, name: bytes) -> str | None:
    """A parameter's value as text; None when it is not there."""
    from maildir import charsets, encodedword  # only a search needs them

    for key, value in parameters:
        if key == name:
            return encodedword.decode(value)
        if key == name + b"*":
            charset, octets = _extended(value)
            return charsets.decode(octets, charset)
    return None


def _parameters(value: bytes, start: int) -> Parameters:
    if not (b"(" in value or b"\\" in value or b"*" in value):
        found = _PLAIN_PARAMETER.findall(value, start)[:MAX_PARAMETERS]
        return tuple({name.lower(): quoted or bare.rstrip() for name, quoted, bare in found}.items())
    simple: dict[bytes, bytes] = {}
    sections: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for count, match in enumerate(_PARAMETER.finditer(value, start)):
        if count == MAX_PARAMETERS:
            break
        name = match[1].lower()
        content = _ESCAPED.sub(rb"\1", match[2]) if match[2] is not None else _bare(match[3])
        section = _SECTION.match(name) if b"*" in name else None
        if section is None:
            simple[name] = content
        else:
            # Where the first piece stands is where the joined value will.
            simple.setdefault(section[1] + b"*0", b"")
            sections.setdefault(section[1], {})[int(section[2])] = (content, section[3] != b"")
    if not sections:
        return tuple(simple.items())
    return tuple(_joined(name, content, sections) for name, content in simple.items())


def _joined(name: bytes, content: bytes, sections: dict[bytes, dict[int, tuple[bytes, bool]]]) -> tuple[bytes, bytes]:
    pieces = sections.get(name[:-2]) if name.endswith(b"*0") else None
    if pieces is None:
        return name, content
    name = name[:-2]
    present = [pieces[number] for number in sorted(pieces)]
    if not any(extended for _, extended in present):
        return name, b"".join(piece for piece, _ in present)
    joined = b"".join(piece if extended else _percent_encoded(piece) for piece, extended in present)
    return name + b"*", joined if present[0][1] else b"''" + joined


def _bare(value: bytes) -> bytes:
    """A value without quotes: trimmed, and without the comment at its end (RFC 2045 §5.1: `us-ascii (Plain text)`)."""
    value = value.rstrip()
    if value.endswith(b")"):
        at = value.rfind(b"(")
        if at > 0:
            return value[:at].rstrip()
    return value


def _extended(value: bytes) -> tuple[bytes, bytes]:
    """Charset and octets of `charset'language'percent-encoded` (RFC 2231 §4); no charset where a quote is missing."""
    charset, quote, rest = value.partition(b"'")
    _, second, encoded = rest.partition(b"'")
    if not (quote and second):
        charset, encoded = b"", value
    return charset.lower(), _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), encoded)


def _percent_encoded(piece: bytes) -> bytes:
    """A piece that was not in the extended form, between pieces that are."""
    return _NOT_EXTENDED.sub(lambda match: b"%%%02X" % match[0][0], piece)
