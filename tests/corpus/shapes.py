"""MIME bodies of every shape, as (header lines, body) with LF line ends.

Each shape is a function of a `Random` and a size in octets that gives a `Part`; `SHAPES` weighs them. The header lines
of a part are those that describe its content; `letters.py` puts the letter's own header on top.
"""

from __future__ import annotations

import binascii
import quopri
from collections.abc import Callable
from random import Random
from typing import NamedTuple
from urllib.parse import quote

from tests.corpus import words


class Part(NamedTuple):
    """A MIME entity: `header` without the blank line (may be empty), `body` as it stands after it."""

    header: bytes
    body: bytes

    def octets(self) -> bytes:
        """The entity as it stands inside a multipart."""
        return self.header + b"\n" + self.body


_NOISE = Random("noise").randbytes(1 << 20)
_BINARIES = (
    ("application/pdf", "pdf"), ("image/jpeg", "jpg"), ("image/png", "png"), ("application/zip", "zip"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"), ("audio/mpeg", "mp3"),
    ("application/octet-stream", "bin"), ("video/mp4", "mp4"),
)  # fmt: skip
_BOUNDARY_CHARACTERS = "0123456789abcdefABCDEF'()+_,-./:=?"


def _noise(rng: Random, octets: int) -> bytes:
    start = rng.randrange(len(_NOISE) - 1)
    return (_NOISE[start:] + _NOISE * (octets // len(_NOISE) + 1))[:octets]


def _base64(octets: bytes) -> bytes:
    whole = binascii.b2a_base64(octets, newline=False)
    return b"".join(whole[at : at + 76] + b"\n" for at in range(0, len(whole), 76))


def boundary_of(rng: Random) -> bytes:
    """A boundary: often plain, sometimes with characters that need quotes."""
    if rng.random() < 0.8:
        return b"=_%016x" % rng.getrandbits(64)
    return "".join(rng.choices(_BOUNDARY_CHARACTERS, k=rng.randint(1, 69))).encode() + b"x"


def multipart(
    rng: Random, subtype: bytes, parts: list[Part], parameters: bytes = b"", boundary: bytes = b"", closed: bool = True
) -> Part:
    """The parts between boundary lines, sometimes with a preamble and an epilogue."""
    boundary = boundary or boundary_of(rng)
    separator = rng.choice((b"; ", b";\n ", b";\n\t"))
    header = b"Content-Type: multipart/" + subtype + parameters + separator + b'boundary="' + boundary + b'"\n'
    pieces = [b"This is a multi-part message in MIME format.\n"] if rng.random() < 0.3 else []
    pieces += [b"\n--" + boundary + b"\n" + part.octets() for part in parts]
    if closed:
        pieces.append(b"\n--" + boundary + b"--\n")
        if rng.random() < 0.1:
            pieces.append(b"An epilogue that nobody shows.\n")
    return Part(header, b"".join(pieces))


def text(rng: Random, octets: int, subtype: bytes = b"plain") -> Part:
    """Text in one of its language's charsets, in an encoding that fits."""
    language = words.language_of(rng)
    charset = rng.choice(words.CHARSETS[language])
    content = words.body(rng, language, octets)
    if subtype == b"html":
        content = f"<html><body>\n<p>{content.replace(chr(10) * 2, chr(10) + '<p>')}</p>\n</body></html>\n"
    raw = content.encode(charset, "replace")
    extra = rng.choice((b"", b"", b"; format=flowed", b"; format=flowed; delsp=yes"))
    header = b"Content-Type: text/" + subtype + b"; charset=" + charset.encode() + extra + b"\n"
    encoding = rng.choice((b"quoted-printable", b"base64", b"8bit", b"8bit"))
    if charset in ("us-ascii", "iso-2022-jp"):
        encoding = rng.choice((b"7bit", b"7bit", b"", b"quoted-printable"))
    if encoding == b"quoted-printable":
        raw = quopri.encodestring(raw)
    elif encoding == b"base64":
        raw = _base64(raw.replace(b"\n", b"\r\n"))
    return Part(header + (b"Content-Transfer-Encoding: " + encoding + b"\n" if encoding else b""), raw)


def _filename(rng: Random, ending: str) -> bytes:
    language = words.language_of(rng)
    name = words.sentence(rng, language, 1, 4).replace('"', "") + "." + ending
    style = rng.random()
    if name.isascii() and style < 0.7:
        return b'; filename="' + name.encode() + b'"'
    if style < 0.4:
        return b";\n filename*=utf-8''" + quote(name).encode()
    if style < 0.7:
        whole = "utf-8''" + quote(name)
        pieces = [whole[at : at + 40] for at in range(0, len(whole), 40)]
        return b"".join(b";\n filename*%d*=%s" % (number, piece.encode()) for number, piece in enumerate(pieces))
    if style < 0.8:
        return b';\n filename*0="long ";\n filename*1*=' + quote(name).encode()
    return b'; filename="' + encoded_word(rng, name, "utf-8") + b'"'


def encoded_word(rng: Random, content: str, charset: str) -> bytes:
    """`content` as RFC 2047 words, B or Q, folded when it is long."""
    pieces = [content[at : at + 12] for at in range(0, len(content), 12)] or [""]
    encoded = []
    for piece in pieces:
        raw = piece.encode(charset, "replace")
        if rng.random() < 0.5 or charset.startswith("iso-2022"):
            encoded.append(b"=?" + charset.encode() + b"?B?" + binascii.b2a_base64(raw, newline=False) + b"?=")
        else:
            safe = b"".join(bytes([c]) if chr(c).isalnum() and c < 128 else b"=%02X" % c for c in raw)
            encoded.append(b"=?" + charset.upper().encode() + b"?q?" + safe.replace(b"=20", b"_") + b"?=")
    return b"\n ".join(encoded)


def attachment(rng: Random, octets: int) -> Part:
    """A base64 attachment with the fields that BODYSTRUCTURE tells of."""
    kind, ending = rng.choice(_BINARIES)
    header = b"Content-Type: " + kind.encode() + rng.choice((b"", b'; name="file.' + ending.encode() + b'"')) + b"\n"
    header += b"Content-Transfer-Encoding: " + rng.choice((b"base64", b"Base64", b"BASE64")) + b"\n"
    header += b"Content-Disposition: " + rng.choice((b"attachment", b"inline", b"ATTACHMENT")) + _filename(rng, ending)
    header += rng.choice((b"", b'; size=%d; creation-date="Wed, 12 Feb 1997 16:29:51 -0500"' % octets)) + b"\n"
    if rng.random() < 0.3:
        header += b"Content-ID: <part%08x@example.com>\n" % rng.getrandbits(32)
    if rng.random() < 0.2:
        header += b"Content-Description: " + encoded_word(rng, words.sentence(rng, "de"), "iso-8859-1") + b"\n"
    if rng.random() < 0.1:
        header += b"Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\nContent-Language: de, en-GB\nContent-Location: a/b.html\n"
    return Part(header, _base64(_noise(rng, max(1, octets * 74 // 100))))


def plain(rng: Random, octets: int) -> Part:
    """A letter of one text."""
    return text(rng, octets)


def alternative(rng: Random, octets: int) -> Part:
    """Text and HTML, sometimes a calendar."""
    parts = [text(rng, octets // 3), text(rng, octets * 2 // 3, b"html")]
    if rng.random() < 0.1:
        parts.append(calendar(rng, 500))
    return multipart(rng, b"alternative", parts)


def related(rng: Random, octets: int) -> Part:
    """HTML with a picture of its own."""
    picture = Part(
        b"Content-Type: image/gif\nContent-Transfer-Encoding: base64\nContent-ID: <logo@example.com>\n",
        _base64(_noise(rng, max(40, octets // 2))),
    )
    page = text(rng, octets // 2, b"html")
    return multipart(rng, b"related", [page, picture], b'; type="text/html"; start="<page@example.com>"')


def mixed(rng: Random, octets: int) -> Part:
    """Text and one to four attachments."""
    count = rng.randint(1, 4)
    rest = max(200, octets - 1500) // count
    return multipart(rng, b"mixed", [text(rng, min(octets, 1500))] + [attachment(rng, rest) for _ in range(count)])


def nested(rng: Random, octets: int) -> Part:
    """mixed(alternative(text, related(html, picture)), attachment), or multiparts in multiparts to a depth of 9."""
    if rng.random() < 0.7:
        inner = multipart(rng, b"alternative", [text(rng, octets // 8), related(rng, octets // 2)])
        return multipart(rng, b"mixed", [inner, attachment(rng, octets // 3)])
    part = text(rng, octets)
    for level in range(rng.randint(2, 9)):
        parts = [part] if rng.random() < 0.5 else [part, text(rng, 60)]
        # One boundary is a prefix of the next one outside it: a scanner must compare whole lines.
        part = multipart(rng, rng.choice((b"mixed", b"alternative", b"parallel")), parts, boundary=b"b" * (9 - level))
    return part


def calendar(rng: Random, octets: int) -> Part:
    """An invitation."""
    lines = [b"BEGIN:VCALENDAR", b"METHOD:REQUEST", b"BEGIN:VEVENT", b"DTSTART:20240501T090000Z"]
    lines += [b"DESCRIPTION:" + words.sentence(rng, "fr").encode() for _ in range(octets // 60)]
    lines += [b"END:VEVENT", b"END:VCALENDAR", b""]
    header = b"Content-Type: text/calendar; charset=UTF-8; method=REQUEST\nContent-Transfer-Encoding: 8bit\n"
    return Part(header, b"\n".join(lines))


def _letter_within(rng: Random, part: Part) -> bytes:
    sender = rng.choice(words.DOMAINS).encode()
    header = b"From: Inner <inner@" + sender + b">\nSubject: " + words.sentence(rng, "en").encode()
    return header + b"\nDate: Mon, 2 Mar 2020 10:11:12 +0100\nMIME-Version: 1.0\n" + part.header + b"\n" + part.body


def forwarded(rng: Random, octets: int) -> Part:
    """A letter in a letter, attached or being the whole body, up to four deep."""
    part = rng.choice((plain, alternative, mixed))(rng, octets)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        letter = Part(b"Content-Type: message/rfc822\n", _letter_within(rng, part))
        if rng.random() < 0.3:
            letter = Part(letter.header + b'Content-Disposition: attachment; filename="forwarded.eml"\n', letter.body)
        part = letter if rng.random() < 0.3 else multipart(rng, b"mixed", [text(rng, 300), letter])
    return part


def digest(rng: Random, octets: int) -> Part:
    """A list digest: its parts are letters without saying so."""
    count = rng.randint(2, 8)
    letters = [Part(b"", _letter_within(rng, text(rng, octets // count))) for _ in range(count)]
    return multipart(rng, b"digest", letters)


def report(rng: Random, octets: int) -> Part:
    """A delivery status notification."""
    status = b"Reporting-MTA: dns; mx.example.com\n\nFinal-Recipient: rfc822; nobody@example.org\nStatus: 5.1.1\n"
    returned = Part(b"Content-Type: text/rfc822-headers\n", b"From: a@example.com\nSubject: lost\n")
    if rng.random() < 0.5:
        returned = Part(b"Content-Type: message/rfc822\n", _letter_within(rng, text(rng, octets // 2)))
    parts = [text(rng, octets // 2), Part(b"Content-Type: message/delivery-status\n", status), returned]
    return multipart(rng, b"report", parts, b"; report-type=delivery-status")


def signed(rng: Random, octets: int) -> Part:
    """PGP/MIME."""
    signature = Part(
        b'Content-Type: application/pgp-signature; name="signature.asc"\n',
        b"-----BEGIN PGP SIGNATURE-----\n\n" + _base64(_noise(rng, 300)) + b"-----END PGP SIGNATURE-----\n",
    )
    parameters = b'; micalg=pgp-sha256;\n protocol="application/pgp-signature"'
    return multipart(rng, b"signed", [rng.choice((text, mixed))(rng, octets), signature], parameters)


def without_mime(rng: Random, octets: int) -> Part:
    """No MIME header at all."""
    return Part(b"", words.body(rng, "en", octets).encode())


def raw_8bit(rng: Random, octets: int) -> Part:
    """8-bit text that nothing declares."""
    language = rng.choice(("de", "ru", "zh"))
    charset = rng.choice(words.CHARSETS[language])
    return Part(b"", words.body(rng, language, octets).encode(charset, "replace"))


def uuencoded(rng: Random, octets: int) -> Part:
    """An attachment of the old kind, and lines far longer than 998 octets."""
    noise = _noise(rng, octets // 3)
    lines = [binascii.b2a_uu(noise[at : at + 45]) for at in range(0, len(noise), 45)]
    long_line = words.sentence(rng, "en", 300, 900).encode() + b"\n"
    return Part(b"", b"See below\n\nbegin 644 a.out\n" + b"".join(lines) + b"`\nend\n" + long_line)


def odd(rng: Random, octets: int) -> Part:
    """Content that is rare, wrong or empty; a server must still tell its size and hand it out as it is."""
    content = words.body(rng, "en", octets).encode()
    return rng.choice((
        Part(b"Content-Type: text\n", content),
        Part(b"Content-Type: application/x-unknown-thing; a=b; c\n", content),
        Part(b"Content-Type: TEXT/PLAIN (a comment); (another) charset = \"us-ascii\" (third)\n", content),
        Part(b"Content-Type: message/partial; number=2; total=3; id=\"oc=jpbe0M2Yt4s@example.com\"\n", content),
        Part(
            b"Content-Type: message/external-body; access-type=ANON-FTP; site=\"ftp.example.com\"; name=a.ps\n",
            b"Content-Type: application/postscript\nContent-ID: <ext@example.com>\n\n",
        ),
        Part(b"Content-Transfer-Encoding: x-own\nContent-Type: application/x-own\n", content),
        Part(b"", b""),
        Part(b"Content-Type: text/plain\n", b"\n"),
        Part(b"Content-Type: text/plain; charset=utf-8\n", content.rstrip(b"\n")),
        Part(b"Content-Type: multipart/mixed\n", content),
        Part(b"Content-Type: multipart/mixed; boundary=never\n", content),
        multipart(rng, b"mixed", [text(rng, octets)], closed=False),
        multipart(rng, b"mixed", [Part(b"", b"")]),
        multipart(rng, b"mixed", [Part(b"", content), Part(b"Content-Type: image/png\n", b"")]),
        multipart(rng, b"x-private", [attachment(rng, octets), forwarded(rng, 900)]),
        Part(b"Content-Type: message/rfc822\n", b"Subject: no body in here\n"),
        Part(b"Content-Type: message/rfc822\n", b""),
    ))  # fmt: skip


Shape = Callable[[Random, int], Part]
SHAPES: tuple[tuple[Shape, int], ...] = (
    (plain, 28), (alternative, 20), (mixed, 12), (nested, 8), (related, 4), (forwarded, 5), (digest, 1), (report, 2),
    (signed, 4), (without_mime, 5), (raw_8bit, 3), (uuencoded, 1), (calendar, 1), (odd, 6),
)  # fmt: skip
