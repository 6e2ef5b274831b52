"""The header scan: fields by offset, where the header ends, what broken ones give."""

import mmap
import tempfile

import pytest

from maildir import rfc822
from maildir.rfc822 import body_start, scan, unfold


def names_and_values(octets: bytes) -> list[tuple[bytes, bytes]]:
    header = scan(octets)
    return [(octets[a:b], unfold(octets[c:d])) for a, b, c, d in header.fields]


@pytest.mark.parametrize(
    ("octets", "start"),
    [
        (b"", 0),
        (b"\n", 1),
        (b"\r\n", 2),
        (b"\r", 1),
        (b"\nA: b\n\n", 1),
        (b"A: b\n\nbody", 6),
        (b"A: b\r\n\r\nbody", 8),
        (b"A: b\r\n\r\n\nbody", 8),
        (b"A: b\n\r\nbody", 7),
        (b"A: b\n\n\r\nbody", 6),
        (b"A: b\n", 5),
        (b"A: b", 4),
        (b"A: b\n \n\nbody", 8),
        (b"\0\0", 2),
    ],
)
def test_the_header_ends_behind_the_first_empty_line(octets, start):
    assert body_start(octets, 0, len(octets)) == start
    assert scan(octets).body == start


def test_a_header_without_end_is_cut_between_two_lines(monkeypatch):
    monkeypatch.setattr(rfc822, "MAX_HEADER", 20)
    octets = b"A: b\nB: c\r\nC: dddddddddddddddddd\n\nbody"
    header = scan(octets)
    assert octets[: header.body] == b"A: b\nB: c\r\n"
    assert [octets[a:b] for a, b, _, _ in header.fields] == [b"A", b"B"]
    assert scan(b"x" * 50).body == 20


def test_the_cap_on_the_header_is_a_megabyte():
    octets = b"A: b\n" * 300_000 + b"\nbody"
    header = scan(octets)
    assert header.body == (1 << 20) // 5 * 5
    assert len(header.fields) == rfc822.MAX_FIELDS == 10_000


def test_fields_keep_their_order_and_their_octets():
    octets = b"From: a\nTo:b,\n\tc\n  d\nX-Empty:\nto : again\r\n\nbody"
    header = scan(octets)
    assert [octets[a:b] for a, b, _, _ in header.fields] == [b"From", b"To", b"X-Empty", b"to"]
    assert [header.raw(field) for field in header.fields] == [
        b"From: a\n",
        b"To:b,\n\tc\n  d\n",
        b"X-Empty:\n",
        b"to : again\r\n",
    ]
    assert header.first(b"to") == b"b,\tc  d"
    assert header.every(b"to") == [b"b,\tc  d", b"again"]
    assert header.first(b"cc") is None
    assert header.every(b"cc") == []
    assert header.collect({b"from", b"x-empty", b"cc"}) == {b"from": [b"a"], b"x-empty": [b""]}


def test_lines_that_are_no_fields_are_in_no_field():
    octets = b"From joe Mon Nov 20\n>From: x\n stray: blank first\nno colon here\n more\nA: b\n: c\nA\0B: d\nE: f"
    assert names_and_values(octets) == [(b">From", b"x stray: blank first"), (b"A", b"b"), (b"E", b"f")]


def test_8_bit_names_and_values_are_taken():
    assert names_and_values(b"\xc3\xa4: \xff\0\r\x01\n\n") == [(b"\xc3\xa4", b"\xff\0\r\x01")]


def test_unfold_takes_out_line_ends_and_outer_blanks_only():
    assert unfold(b" a\r\n  b\n\tc \r") == b"a  b\tc"


def test_an_mmap_is_scanned_like_bytes():
    octets = b"A: b\r\n c\r\nD: e\r\n\r\nbody\n"
    with tempfile.TemporaryFile() as file:
        file.write(octets)
        file.flush()
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            header = scan(mapped)
            assert header.fields == scan(octets).fields
            assert header.first(b"a") == b"b c"
            assert header.body == scan(octets).body


def test_words_without_a_colon_do_not_take_quadratic_time():
    # A search that began anew at each octet of such a line would not end within the life of the test run.
    assert scan(b"x" * rfc822.MAX_HEADER).fields == []
    assert len(scan(b"x " * 400_000 + b"\nA: b\n\n").fields) == 1


def test_the_first_of_each_field():
    header = scan(b"A: 1\nb : 2\n 3\na: 4\nC: 5\n\nA: 6\n")
    assert header.firsts(frozenset((b"a", b"b", b"d"))) == {b"a": b"1", b"b": b"2 3"}
