"""Looking for text in messages as fast as can be finds what decoding and folding all of it finds."""

from __future__ import annotations

import re
from binascii import b2a_base64, b2a_qp

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from maildir import bodytext, charsets, encodedword, rfc2231
from maildir.bodytext import Phrase, texts
from maildir.message import Message


def _holds(text: str, words: list[str]) -> bool:
    return " ".join(words) in " ".join(text.casefold().split())


def _pieces(message: Message, with_headers: bool) -> list[str]:
    """What is looked through, by plain means: bodies that are small enough to be one piece."""
    found = []
    for part in message.tree.walk():
        if with_headers:
            found += [encodedword.decode(part.header.raw(field)) for field in part.header.fields]
        if part.maintype == b"text":
            octets = message.octets[part.body : part.end]
            octets = bodytext._without_encoding(octets, part.encoding())
            charset = rfc2231.find(part.parameters, b"charset") or b""
            try:
                codec = charsets._codec(charset)
                assert codec
                found.append(octets.decode(codec, "replace"))
            except (AssertionError, ValueError):
                found.append(charsets.decode(octets, charset))
    return found


_CHARSETS = [*sorted(set(charsets._python_names().values())), "", "no-such", "us-ascii", "iso-8859-1", "gb2312"]
_SIGNS = some.one_of(
    some.sampled_from("abestkfinhKSIT12@~+-\\ \t\n\r\x1c\x1b\x00=?&"),
    some.sampled_from("äßſKﬁﬀﬃﬆŉİẖẗẚẞ\u0307\u0331\u0308ʼʾ\xa0\u3000\u2003\u85ab中日кŠéÅ\ufffd"),
)
_WORDS = some.sampled_from(
    ["kitchen", "garden", "letter", "strasse", "ofﬁce", "office", "a1b", "@b", "中文", "Ärger", "n"]
)
_TEXTS = some.lists(some.one_of(some.text(_SIGNS, max_size=6), _WORDS, some.just(" ")), max_size=8).map("".join)
_OCTETS = some.one_of(
    some.binary(max_size=30),
    some.lists(some.sampled_from([b"kitchen", b"\xa0", b"garden", b"\x81", b" ", b"\x1b$B"]), max_size=8).map(b"".join),
)


@some.composite
def _leaves(draw: some.DrawFn) -> bytes:
    charset = draw(some.sampled_from(_CHARSETS))
    text = draw(_TEXTS)
    try:
        content = text.encode(charset or "utf-8", "replace")
    except LookupError:
        content = text.encode()
    if draw(some.integers(0, 5)) == 0:
        content = draw(_OCTETS)
    encoding = draw(some.sampled_from([b"", b"7bit", b"8bit", b"base64", b"quoted-printable", b"x-odd"]))
    if encoding == b"base64":
        content = b2a_base64(content)
    elif encoding == b"quoted-printable":
        content = b2a_qp(content)
    kind = draw(some.sampled_from([b"text/plain", b"text/html", b"image/png"]))
    head = b"Content-Type: %b; charset=%b\n" % (kind, charset.encode())
    if encoding:
        head += b"Content-Transfer-Encoding: %b\n" % encoding
    return head + draw(_fields()) + b"\n" + content


@some.composite
def _fields(draw: some.DrawFn) -> bytes:
    text = draw(_TEXTS)
    value = draw(
        some.sampled_from(
            [
                text.encode(),
                b"=?utf-8?b?%b?=" % b2a_base64(text.encode(), newline=False),
                encodedword.encode(text.encode()),
            ]
        )
    )
    return b"X-Y: " + re.sub(rb"\n(?=[^ ]|$)", b"\n ", value) + b"\n"


@some.composite
def _messages(draw: some.DrawFn) -> bytes:
    leaves = draw(some.lists(_leaves(), min_size=1, max_size=3))
    if len(leaves) == 1:
        return leaves[0]
    start = b"Subject: =?iso-8859-1?q?stra=DFe?=\nContent-Type: multipart/mixed; boundary=QQQ\n" + draw(_fields())
    return start + b"".join(b"\n--QQQ\n" + leaf for leaf in leaves) + b"\n--QQQ--\n"


@settings(deadline=None, max_examples=400)
@given(_messages(), some.one_of(_TEXTS, some.none()), some.data(), some.booleans())
@example(b"\nKitchen\x85garden", "kitchen garden", None, False)
def test_both_find_the_same(
    octets: bytes, wanted: str | None, data: some.DataObject | None, with_headers: bool
) -> None:
    pieces = _pieces(Message(octets), with_headers)
    if wanted is None and data is not None:  # something that is there, or nearly
        whole = "".join(pieces)
        start = data.draw(some.integers(0, len(whole)))
        wanted = whole[start : start + data.draw(some.integers(0, 20))]
    words = (wanted or "").casefold().split()
    assert list(texts(Message(octets), with_headers)) == pieces
    assert Phrase(words).is_in(Message(octets), with_headers) == any(_holds(piece, words) for piece in pieces)


@settings(deadline=None, max_examples=400)
@given(some.sampled_from(_CHARSETS), some.one_of(_OCTETS, _TEXTS.map(str.encode), some.binary(max_size=12)))
def test_octets_that_are_not_decoded_mean_what_they_are(charset: str, octets: bytes) -> None:
    name = charset.encode()
    if not charsets.keeps_ascii(name):
        return
    text = charsets.decode(octets, name)
    for run in re.findall("[\x21-\x7e]+", text):
        assert run.encode() in octets
    if octets.isascii():
        assert text == octets.decode("ascii")


@pytest.mark.parametrize("charset", _CHARSETS)
def test_blanks_in_every_charset(charset: str) -> None:
    for blank in (sign for sign in map(chr, range(0x3001)) if sign.isspace()):
        try:
            content = f"kitchen{blank}1garden".encode(charset)
        except (UnicodeError, LookupError):
            continue
        if charsets.decode(content, charset.encode()) == f"kitchen{blank}1garden":
            head = f"Content-Type: text/plain; charset={charset}\n\n".encode()
            assert Phrase(["kitchen", "1garden"]).is_in(Message(head + content), False)
