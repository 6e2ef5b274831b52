"""Text of header fields as IMAP strings.

    nstring(value, utf8=False) -> bytes   NIL for None, else a quoted string that holds whatever the value held
    is_plain(value) -> bool               whether the value can stand between quotes as it is

A quoted string cannot hold CR, LF and NUL: they become blanks.  Raw 8-bit text, which RFC 3501 does not allow in one
either, goes out as encoded words (RFC 2047), or as it is to a client that has enabled UTF8=ACCEPT (RFC 6855) if it is
UTF-8.
"""

from __future__ import annotations

import re

MAX_STRING = 8192  # octets of a value; the rest is cut off, as the original does

_PLAIN = re.compile(rb"[ !#-\[\]-~]*+")
_UNQUOTABLE = bytes.maketrans(b"\r\n\0", b"   ")
_SPECIAL = re.compile(rb'(["\\])')


def nstring(value: bytes | None, utf8: bool = False) -> bytes:
    """An IMAP nstring; see the module."""
    if value is None:
        return b"NIL"
    if is_plain(value):
        return b'"' + value + b'"'
    value = _cut(value).translate(_UNQUOTABLE)
    if not (value.isascii() or (utf8 and _is_utf8(value))):
        from maildir import encodedword

        value = encodedword.encode(value)
    return b'"' + _SPECIAL.sub(rb"\\\1", value) + b'"'


def is_plain(value: bytes) -> bool:
    """Whether it can stand between quotes as it is."""
    return len(value) <= MAX_STRING and _PLAIN.fullmatch(value) is not None


def _cut(value: bytes) -> bytes:
    """The value within its limit, not cut within a UTF-8 character."""
    if len(value) <= MAX_STRING:
        return value
    end = MAX_STRING
    while end > MAX_STRING - 3 and 0x80 <= value[end] < 0xC0:
        end -= 1
    return value[:end]


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
