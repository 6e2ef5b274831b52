"""Counting line ends and sizes on the wire."""

import mmap
import tempfile

import pytest

from maildir import lineends
from maildir.lineends import LineEnds, newlines, wire_octets


def on_the_wire(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@pytest.mark.parametrize("octets", [b"", b"\n", b"a", b"a\nb\n", b"a\r\nb\n", b"\r", b"\r\r\n\n\r", b"\0\n\0"])
def test_the_size_is_that_of_the_converted_octets(octets):
    assert wire_octets(octets, 0, len(octets)) == len(on_the_wire(octets))
    assert newlines(octets, 0, len(octets)) == octets.count(b"\n")


def test_a_cr_before_the_start_belongs_to_the_first_lf():
    assert wire_octets(b"a\r\nb", 2, 4) == 2
    assert wire_octets(b"a\r\nb", 0, 2) == 2


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(lineends, "_BLOCK", 4)


OCTETS = b"ab\r\n\r\n\ncd\r\r\nefgh\nijklmnop\r\n\n\n\r\nq\rr\n"


@pytest.mark.usefixtures("small_blocks")
def test_remembered_counts_are_the_counts():
    counts = LineEnds(OCTETS)
    for start in range(len(OCTETS) + 1):
        for end in range(start, len(OCTETS) + 1):
            assert counts.newlines(start, end) == OCTETS.count(b"\n", start, end)
            assert counts.wire_octets(start, end) == wire_octets(OCTETS, start, end)


@pytest.mark.usefixtures("small_blocks")
def test_a_place_is_found_before_a_wire_offset():
    for start in range(len(OCTETS)):
        counts = LineEnds(OCTETS)
        for wire in range(len(on_the_wire(OCTETS)) + 3):
            at, before = counts.before(start, len(OCTETS), wire)
            assert start <= at <= len(OCTETS)
            assert before == wire_octets(OCTETS, start, at)
            assert before <= wire


@pytest.mark.usefixtures("small_blocks")
def test_an_mmap_counts_like_bytes():
    with tempfile.TemporaryFile() as file:
        file.write(OCTETS)
        file.flush()
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            for end in range(len(OCTETS) + 1):
                assert wire_octets(mapped, 1, end) == wire_octets(OCTETS, 1, end)
                assert LineEnds(mapped).newlines(0, end) == OCTETS.count(b"\n", 0, end)


def test_large_ranges_are_counted_once(monkeypatch):
    counted = 0

    def count(octets, what, start, end):
        nonlocal counted
        counted += end - start
        return octets.count(what, start, end)

    monkeypatch.setattr(lineends, "_count", count)
    octets = b"x" * 70 + b"\n"
    octets *= 1 << 16
    counts = LineEnds(octets)
    for start in range(0, 1000, 10):
        assert counts.wire_octets(start, len(octets)) > 0
    assert counted < 2 * len(octets) + 100 * 4 * (1 << 18)


def test_an_mmap_is_searched_like_bytes(small_blocks):
    octets = b"ab" * 3000 + b"\n\r\n" + b"ab" * 3000 + b"\n\n"
    with tempfile.TemporaryFile() as file:
        file.write(octets)
        file.flush()
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            for what in (b"\n\r\n", b"\n\n", b"\n", b"ba", b"never"):
                for start, end in ((0, len(octets)), (1, 6001), (5999, 6002), (6000, 6003), (6001, 12004), (7, 7)):
                    assert lineends.find(mapped, what, start, end) == octets.find(what, start, end)
            lineends.let_go(mapped, 5000, len(octets))
            assert mapped[:] == octets


def test_a_cr_anywhere_is_found_however_the_ranges_are_asked_for():
    octets = b"a\nb\r\nc\rd\n\r\n"
    for start in range(len(octets)):
        for end in range(start, len(octets) + 1):
            assert LineEnds(octets).wire_octets(start, end) == wire_octets(octets, start, end)
            both = LineEnds(octets)
            both.wire_octets(0, 1)
            assert both.wire_octets(start, end) == wire_octets(octets, start, end)
