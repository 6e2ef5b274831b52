"""Text out of the encoded words of header fields (RFC 2047, RFC 2231 §5).

    decode(value) -> str           a field's value as text; broken words stay as they are
    encode(value) -> bytes         raw 8-bit words of a value as encoded words, all else untouched

Neither raises on any input.

Blanks between two encoded words are no text.  Neighbours of one charset are put together before they are decoded,
because many programs cut between the octets of one character.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, a2b_qp

from maildir import charsets

# Linear: after each "=?" nothing is read beyond the next question marks.  Blanks in Q words are wrong and common.
_WORD = re.compile(rb"=\?([^?\s*]{1,60}+)(?:\*[^?\s]{0,60}+)?\?(?:([Bb])\?([^?\s]*+)|[Qq]\?([^?\r\n]*+))\?=")
_BLANKS = b" \t\r\n"
_RUNS = re.compile(rb"([ \t]+)")
_MAX_WORD = 75  # RFC 2047 §2
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")  # safe in phrases too
_Q = [b"_" if octet == 32 else bytes((octet,)) if octet in _SAFE else b"=%02X" % octet for octet in range(256)]


def decode(value: bytes) -> str:
    """A value as text."""
    if b"=?" not in value:
        return charsets.decode(value)
    texts: list[str] = []
    charset, gathered = b"", [b""]
    at = 0
    for match in _WORD.finditer(value):
        octets = _octets(match)
        if octets is None or not charsets.is_known(match[1]):
            continue  # stays text
        between = value[at : match.start()]
        at = match.end()
        apart = not charset or between.strip(_BLANKS) != b""
        if not apart and charset == match[1].lower():
            gathered.append(octets)
            continue
        texts.append(charsets.decode(b"".join(gathered), charset))
        if apart:
            texts.append(charsets.decode(between))
        charset, gathered = match[1].lower(), [octets]
    texts.append(charsets.decode(b"".join(gathered), charset))
    texts.append(charsets.decode(value[at:]))
    return "".join(texts)


def encode(value: bytes) -> bytes:
    """The value with its raw 8-bit words as encoded words, in UTF-8 if they are that, else in an unknown charset."""
    pieces = _RUNS.split(value)  # words at even places, the blanks between them at odd ones
    encoded: list[bytes] = []
    number = 0
    while number < len(pieces):
        word = pieces[number]
        if word.isascii():
            encoded.append(word)
            number += 1
            continue
        last = number
        while last + 2 < len(pieces) and not pieces[last + 2].isascii():
            last += 2
        run = b"".join(pieces[number : last + 1])
        # A reader drops the blanks between encoded words, so these belong into one of them.
        if number and _WORD.fullmatch(pieces[number - 2]):
            run = pieces[number - 1] + run
        if last + 2 < len(pieces) and _WORD.fullmatch(pieces[last + 2]):
            run += pieces[last + 1]
        encoded.append(_words(run))
        number = last + 1
    return b"".join(encoded)


def _octets(match: re.Match[bytes]) -> bytes | None:
    """What an encoded word holds; None when it is broken."""
    if match[2] is None:
        return a2b_qp(match[4], header=True)
    text = match[3].rstrip(b"=")
    try:
        return a2b_base64(text + b"=" * (-len(text) % 4))
    except Error:
        return None


def _words(run: bytes) -> bytes:
    try:
        units = [sign.encode() for sign in run.decode("utf-8")]
        start = b"=?utf-8?Q?"
    except UnicodeDecodeError:
        units = [bytes((octet,)) for octet in run]
        start = b"=?unknown-8bit?Q?"
    room = _MAX_WORD - len(start) - 2
    whole = b"".join([_Q[octet] for octet in run])
    if len(whole) <= room:
        return start + whole + b"?="
    words: list[bytes] = []
    word = b""
    for unit in units:
        text = b"".join(_Q[octet] for octet in unit)
        if len(word) + len(text) > room:
            words.append(start + word + b"?=")
            word = b""
        word += text
    words.append(start + word + b"?=")
    return b" ".join(words)
