"""BODY[section]<partial>: which octets, and how they go over the wire."""

import mmap
import tempfile

import pytest

from imapd import wiretext
from imapd.section import extract
from imapd.wire.section import Section
from imapd.wiretext import Piece
from maildir import lineends
from maildir.message import Message

# The tree of RFC 3501 §6.4.5, shortened.
NESTED = b"""From: a@b
Subject: outer
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b1

preamble
--b1
X-Note: not mime
Content-Type: text/plain
MIME-Version: 1.0

one
--b1
Content-Type: message/rfc822
Content-Description: forwarded

Subject: inner
Content-Type: multipart/alternative; boundary=b2

--b2

two one
--b2
Content-Type: text/html

two two
--b2--

--b1
Content-Type: message/rfc822

Subject: single

three
--b1--
epilogue
"""


def fetch(octets: bytes, part=(), text=b"", fields=(), partial=None) -> bytes:
    piece = extract(Message(octets), Section(tuple(part), text, tuple(fields)))
    fetched = b"".join(piece.chunks(partial))
    assert len(fetched) == piece.size(partial)
    return fetched.replace(b"\r\n", b"\n")


@pytest.mark.parametrize(
    ("part", "text", "expected"),
    [
        ((), b"", NESTED),
        ((), b"HEADER", NESTED[: NESTED.index(b"preamble")]),
        ((), b"TEXT", NESTED[NESTED.index(b"preamble") :]),
        ((1,), b"", b"one"),
        ((1,), b"MIME", b"Content-Type: text/plain\nMIME-Version: 1.0\n\n"),
        ((1,), b"HEADER", b"X-Note: not mime\nContent-Type: text/plain\nMIME-Version: 1.0\n\n"),
        ((1,), b"TEXT", b"one"),
        ((1, 1), b"", b""),
        ((2,), b"MIME", b"Content-Type: message/rfc822\nContent-Description: forwarded\n\n"),
        (
            (2,),
            b"",
            NESTED[NESTED.index(b"Subject: inner") : NESTED.index(b"\n--b1\nContent-Type: message/rfc822\n\nSubj")],
        ),
        ((2,), b"HEADER", b"Subject: inner\nContent-Type: multipart/alternative; boundary=b2\n\n"),
        ((2,), b"TEXT", b"--b2\n\ntwo one\n--b2\nContent-Type: text/html\n\ntwo two\n--b2--\n"),
        ((2, 1), b"", b"two one"),
        ((2, 1), b"MIME", b"\n"),
        ((2, 2), b"", b"two two"),
        ((2, 2), b"MIME", b"Content-Type: text/html\n\n"),
        ((2, 3), b"", b""),
        ((3, 1), b"", b"three"),
        ((3, 1), b"MIME", b"\n"),
        ((3, 1, 1), b"", b""),
        ((4,), b"", b""),
        ((4,), b"MIME", b""),
        ((2, 9, 9), b"HEADER", b""),
    ],
)
def test_sections_of_a_nested_message(part, text, expected):
    assert fetch(NESTED, part, text) == expected
    assert fetch(NESTED.replace(b"\n", b"\r\n"), part, text) == expected


def test_sections_of_a_message_that_is_no_multipart():
    octets = b"Subject: s\nContent-Type: text/html\nMime-version: 1.0\n\nbody\nmore"
    assert fetch(octets, (1,)) == b"body\nmore"
    assert fetch(octets, (1,), b"MIME") == b"Content-Type: text/html\nMime-version: 1.0\n\n"
    assert fetch(octets, (1, 1)) == b""
    assert fetch(octets, (2,)) == b""


def test_sections_of_a_message_that_is_a_message():
    octets = b"Subject: outer\nContent-Type: message/rfc822\n\nSubject: inner\n\ntext\n"
    assert fetch(octets, (1,)) == b"Subject: inner\n\ntext\n"
    assert fetch(octets, (1,), b"HEADER") == b"Subject: inner\n\n"
    assert fetch(octets, (1,), b"TEXT") == b"text\n"
    assert fetch(octets, (1, 1)) == b"text\n"
    assert fetch(octets, (), b"HEADER") == b"Subject: outer\nContent-Type: message/rfc822\n\n"


def test_header_fields_ignore_case_and_end_with_an_empty_line():
    octets = b"From x\nTo: a,\n  b\nCc: c\nTO : d\n\nbody"
    assert fetch(octets, (), b"HEADER.FIELDS", (b"to", b"BCC")) == b"To: a,\n  b\nTO : d\n\n"
    assert fetch(octets, (), b"HEADER.FIELDS.NOT", (b"tO",)) == b"Cc: c\n\n"
    assert fetch(octets, (), b"HEADER.FIELDS", (b"x",)) == b"\n"
    assert fetch(b"", (), b"HEADER.FIELDS", (b"x",)) == b"\n"
    assert fetch(b"To: a", (), b"HEADER.FIELDS", (b"to",)) == b"To: a\n\n"
    assert fetch(NESTED, (2,), b"HEADER.FIELDS", (b"SUBJECT",)) == b"Subject: inner\n\n"
    assert fetch(NESTED, (2,), b"HEADER.FIELDS.NOT", (b"Content-Type",)) == b"Subject: inner\n\n"


def test_partials_cut_what_is_on_the_wire():
    octets = b"A: b\nC: d\n\nx\ny"

    def cut(text, partial, fields=()):
        return b"".join(extract(Message(octets), Section((), text, fields)).chunks(partial))

    assert cut(b"", (4, 3)) == b"\r\nC"
    assert cut(b"", (5, 1)) == b"\n"
    assert cut(b"", (0, 100)) == b"A: b\r\nC: d\r\n\r\nx\r\ny"
    assert cut(b"", (17, None)) == b"y"
    assert cut(b"", (18, 5)) == b""
    assert cut(b"", (2**64 - 1, None)) == b""
    assert cut(b"HEADER.FIELDS", (0, 3), (b"c",)) == b"C: "
    assert cut(b"HEADER.FIELDS", (5, 3), (b"c",)) == b"\n\r\n"
    assert cut(b"HEADER", (12, 100)) == b"\r\n"


MIXED_ENDS = b"ab\r\n\r\n\ncd\r\r\nefgh\nijklmnop\r\n\n\n\r\nq\rr\n" * 3 + b"no end\r"


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 15])
@pytest.mark.parametrize("remembered", [4, 1 << 18])
def test_any_chunking_and_any_partial_give_the_same_octets(monkeypatch, block, remembered):
    monkeypatch.setattr(wiretext, "_BLOCK", block)
    monkeypatch.setattr(lineends, "_BLOCK", remembered)
    wire = MIXED_ENDS.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    piece = Piece(MIXED_ENDS, 0, len(MIXED_ENDS))
    assert b"".join(piece.chunks()) == wire
    assert piece.size() == len(wire)
    with monkeypatch.context() as patch:
        patch.setattr(wiretext, "_KEPT", 0)  # as a large one
        assert b"".join(piece.chunks()) == wire
        assert piece.size() == len(wire)
    for start in range(0, len(wire) + 2, 3):
        assert b"".join(piece.chunks((start, None))) == wire[start:]
        assert piece.size((start, None)) == len(wire[start:])
        for count in (1, 2, 5, 200):
            assert b"".join(piece.chunks((start, count))) == wire[start : start + count]
            assert piece.size((start, count)) == len(wire[start : start + count])


def test_pieces_next_to_each_other_make_the_whole():
    wire = b"".join(Piece(MIXED_ENDS, 0, len(MIXED_ENDS)).chunks())
    for middle in range(len(MIXED_ENDS)):
        pieces = (Piece(MIXED_ENDS, 0, middle), Piece(MIXED_ENDS, middle, len(MIXED_ENDS)))
        assert b"".join(chunk for piece in pieces for chunk in piece.chunks()) == wire
        assert sum(piece.size() for piece in pieces) == len(wire)


def test_chunks_are_small_and_a_partial_of_a_large_body_reads_little():
    octets = b"\n" * (3 << 20)
    with tempfile.TemporaryFile() as file:
        file.write(octets)
        file.flush()
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            piece = Piece(mapped, 0, len(octets))
            assert max(len(chunk) for chunk in piece.chunks()) <= wiretext.MAX_CHUNK == 131072
            assert piece.size() == 6 << 20
            start = (5 << 20) + 1
            at, before = piece.line_ends.before(0, len(octets), start)
            assert 0 <= start - before <= 1 << 19
            assert at == before // 2
            assert b"".join(piece.chunks((start, 5))) == b"\n\r\n\r\n"
