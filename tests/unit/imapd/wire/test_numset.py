"""Sets of numbers: parsing, `*`, resolving, writing."""

from array import array

import pytest

from imapd.wire import numset
from imapd.wire.malformed import Malformed
from imapd.wire.numset import SequenceSet, compact, parse


@pytest.mark.parametrize(
    ("sent", "octets"),
    [
        (b"1", b"1"),
        (b"3:1", b"1:3"),
        (b"1,2,3,5,4", b"1:5"),
        (b"5:9,1:6,20", b"1:9,20"),
        (b"*", b"*"),
        (b"*:4", b"4:*"),
        (b"*:*", b"*"),
        (b"7:*,4:*,*", b"4:*"),
        (b"007", b"7"),
        (b"4294967295", b"4294967295"),
    ],
)
def test_parse(sent, octets):
    parsed = parse(sent)
    assert parsed.octets == octets
    assert parse(octets) == parsed


@pytest.mark.parametrize(
    "sent",
    [b"", b"0", b"0:5", b"1,,2", b",1", b"1,", b"1:2:3", b":", b"a", b"1 ", b"4294967296", b"9" * 9999, b"-1", b"**"],
)
def test_no_sets(sent):
    with pytest.raises(Malformed):
        parse(sent)


def test_the_number_of_ranges_is_bounded():
    assert parse(b",".join([b"1"] * numset.MAX_RANGES)).octets == b"1"
    with pytest.raises(Malformed, match="ranges"):
        parse(b",".join([b"1"] * (numset.MAX_RANGES + 1)))


UIDS = array("I", [3, 4, 5, 9, 12])


@pytest.mark.parametrize(
    ("sent", "positions"),
    [
        (b"1:*", range(5)),
        (b"1:4294967295", range(5)),
        (b"*", range(4, 5)),
        (b"999:*", range(4, 5)),
        (b"10:*", range(4, 5)),
        (b"9:*", range(3, 5)),
        (b"4,9", [1, 3]),
        (b"6:8", range(0)),
        (b"1,2,13:20", range(0)),
        (b"3:4,9:1", range(4)),
    ],
)
def test_uids(sent, positions):
    assert parse(sent).indexes_of_uids(UIDS) == positions


def test_uids_of_an_empty_mailbox():
    assert parse(b"1:*,7").indexes_of_uids(array("I")) == range(0)


@pytest.mark.parametrize(
    ("sent", "inside", "outside"),
    [
        (b"1:*", range(1, 6), []),
        (b"*", range(5, 6), []),
        (b"9:*", range(5, 6), []),
        (b"4:7", range(4, 6), [6]),
        (b"2,8,7", [2], [7]),
        (b"1,3", [1, 3], []),
        (b"6,9", [], [6, 9]),
        (b"1:4294967295", range(1, 6), [6]),
    ],
)
def test_sequence_numbers(sent, inside, outside):
    numbers, missing = parse(sent).sequence_numbers(5)
    assert list(numbers) == list(inside)
    assert missing == outside


def test_sequence_numbers_of_an_empty_mailbox_are_all_outside():
    assert parse(b"1:*").sequence_numbers(0) == (range(0), [1])
    assert parse(b"3").sequence_numbers(0) == (range(0), [3])


@pytest.mark.parametrize(
    ("numbers", "octets"),
    [([], b""), ([7], b"7"), ([1, 2, 3, 5, 7, 8], b"1:3,5,7:8"), ([3, 2, 1, 2], b"3,2,1:2"), ([0, 1], b"0:1")],
)
def test_compact(numbers, octets):
    assert compact(numbers) == octets


def test_equality():
    assert SequenceSet([(1, 3)]) == SequenceSet([(1, 2), (3, 3)])
    assert hash(SequenceSet([(1, 3)])) == hash(SequenceSet([(1, 2), (3, 3)]))
    assert SequenceSet([(1, 3)]) != SequenceSet([(1, 3)], 4)
    assert SequenceSet() != b""
