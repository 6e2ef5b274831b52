"""Modified UTF-7, in which IMAP4rev1 writes mailbox names (RFC 3501 §5.1.3).

Printable ASCII stands for itself, `&` is written `&-`, and everything else is UTF-16BE in base64 with `,` for `/`,
between `&` and `-`.  There is exactly one way to write a name, so that two names are the same when their octets are;
decode takes no other.

Whether a name's parts are converted one by one, and what separates them, is the caller's to know.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64

_ENCODED = re.compile(rb"&([^-]*)-")
_WRONG = "not valid modified UTF-7"
_UNPRINTABLE = re.compile(r"[^ -~]+|&")


def encode(name: str) -> bytes:
    """The name in modified UTF-7.  Raises UnicodeEncodeError for what is no text (lone surrogates)."""
    return _UNPRINTABLE.sub(_encode_run, name).encode("ascii")


def decode(octets: bytes) -> str:
    """The name that octets stand for.  Raises ValueError when they are not its one proper form."""
    if not octets.isascii() or b"&" in _ENCODED.sub(b"", octets):
        raise ValueError(_WRONG)
    try:
        name = "".join(_pieces(octets))
        proper = encode(name)
    except (Base64Error, UnicodeError):
        raise ValueError(_WRONG) from None
    # What could have been written otherwise (ASCII in base64, adjoining runs, stray bits) does not come back.
    if proper != octets:
        raise ValueError(_WRONG)
    return name


def _pieces(octets: bytes) -> list[str]:
    pieces = []
    start = 0
    for match in _ENCODED.finditer(octets):
        pieces.append(octets[start : match.start()].decode("ascii"))
        pieces.append(_decode_run(match[1]) if match[1] else "&")
        start = match.end()
    pieces.append(octets[start:].decode("ascii"))
    return pieces


def _decode_run(run: bytes) -> str:
    padding = b"=" * (-len(run) % 4)
    return a2b_base64(run.replace(b",", b"/") + padding, strict_mode=True).decode("utf-16-be")


def _encode_run(match: re.Match[str]) -> str:
    if match[0] == "&":
        return "&-"
    run = b2a_base64(match[0].encode("utf-16-be"), newline=False).rstrip(b"=").replace(b"/", b",")
    return "&" + run.decode("ascii") + "-"
