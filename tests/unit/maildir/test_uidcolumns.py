"""Reading a uid list by columns gives what reading it line by line gives, or nothing."""

from array import array

import pytest

from maildir import names, snapshot, uidcolumns, uidlist
from maildir.snapshot import take_apart
from maildir.uidcolumns import UidColumns


def test_a_list_that_is_in_order() -> None:
    listed = uidcolumns.parse(b"1 9 8\n2 b\n5 a\n7 1.x:y\n")
    assert listed is not None
    assert (listed.uidvalidity, listed.uidnext, list(listed.uids)) == (9, 8, [2, 5, 7])
    assert listed.keys == [b"b", b"a", b"1.x:y"]
    assert listed.render() == b"1 9 8\n2 b\n5 a\n7 1.x:y\n"


def test_an_empty_list() -> None:
    listed = uidcolumns.parse(b"1 9 8\n")
    assert listed is not None
    assert (listed.keys, list(listed.uids)) == ([], [])


@pytest.mark.parametrize(
    "body",
    [
        b"2 a\n1 b\n",  # not ascending
        b"2 a\n2 b\n",
        b"0 a\n",
        b"2 a b\n",  # a key with a blank: as good as any, but rare
        b"7\n5 12 x\n",  # as many words as two good lines
        b"7 a\n\n8 b c d\n",
        b"2 a\n3\n",
        b"2 a\n\n",
        b"\n2 a\n",
        b"2 \n3 b\n",
        b" 2 a\n",
        b"+2 a\n",
        b"1_0 a\n",
        b"\x0b2 a\n",
        b"99999999999 a\n",
        b"2 a\n8 b\n",  # the next uid is in use
        b"2 a\n3 b",  # cut off
        b"2 a\0\n",
    ],
)
def test_a_list_that_is_odd_is_left_to_who_repairs(body: bytes) -> None:
    assert uidcolumns.parse(b"1 9 8\n" + body) is None


@pytest.mark.parametrize("data", [b"", b"1 9\n", b"rubbish\n2 a\n", b"2 9 8\n"])
def test_no_list(data: bytes) -> None:
    assert uidcolumns.parse(data) is None


def test_keys_that_come_and_go() -> None:
    listed = UidColumns(9, 8, array("I", [2, 5, 7]), [b"a", b"b", b"c"])
    later = listed.without({b"b"}).with_more([b"d", b"e"])
    assert (list(later.uids), later.keys, later.uidnext) == ([2, 7, 8, 9], [b"a", b"c", b"d", b"e"], 10)
    with pytest.raises(uidlist.Exhausted):
        UidColumns(9, uidlist.MAX_UID, array("I"), []).with_more([b"a", b"b"])
    last = UidColumns(9, uidlist.MAX_UID, array("I"), []).with_more([b"a"])
    assert (list(last.uids), last.uidnext) == ([uidlist.MAX_UID], uidlist.MAX_UID + 1)


def test_names_are_taken_apart() -> None:
    parts = take_apart([b"a:2,S", b"b:2,", b"c:2,FS"])
    assert parts is not None
    assert (parts.bases, parts.flags, parts.plain) == (
        [b"a", b"b", b"c"],
        bytes([names.SEEN, 0, names.SEEN | names.FLAGGED]),
        True,
    )
    joined = parts.in_order([b"c", b"a", b"b"])
    assert joined is not None
    flags, table = joined
    assert flags == bytes([names.SEEN | names.FLAGGED, names.SEEN, 0])
    assert [table.name(position, flags[position]) for position in range(3)] == [b"c:2,FS", b"a:2,S", b"b:2,"]


def test_letters_of_other_programs_stay() -> None:
    parts = take_apart([b"a:2,Sab", b"b:2,SF"])
    assert parts is not None
    assert not parts.plain
    joined = parts.in_order([b"b", b"a"])
    assert joined is not None
    flags, table = joined
    assert [table.name(position, flags[position]) for position in range(2)] == [b"b:2,SF", b"a:2,Sab"]
    assert table.name(1, names.FLAGGED) == b"a:2,Fab"
    assert table.bases(0, 2) == [b"b", b"a"]
    assert list(table.odd()) == [(0, b"b:2,SF"), (1, b"a:2,Sab")]


@pytest.mark.parametrize(
    "found",
    [
        [b"a"],
        [b"a:b:2,S"],
        [b"a:1,S"],
        [b"c", b"d:2,:2,S"],
        [b"c", b"2,x", b"d:2,S:zzz:2,"],  # three colons in three names, and every second piece looks like flags
    ],
)
def test_names_of_another_form_are_left_to_who_looks_at_each(found: list[bytes]) -> None:
    assert take_apart(found) is None


@pytest.mark.parametrize("keys", [[b"a"], [b"a", b"a"], [b"a", b"x"], [b"a", b"b", b"c"], []])
def test_other_messages_than_are_listed(keys: list[bytes]) -> None:
    parts = take_apart([b"a:2,S", b"b:2,"])
    assert parts is not None
    assert parts.in_order(keys) is None


def test_one_base_twice_is_no_folder_in_order() -> None:
    parts = take_apart([b"a:2,S", b"a:2,"])
    assert parts is not None
    assert parts.in_order([b"a", b"b"]) is None


def test_nothing_at_all() -> None:
    parts = snapshot.take_apart([])
    assert parts is not None
    joined = parts.in_order([])
    assert joined is not None
    assert joined[0] == b""


@pytest.mark.parametrize(
    "bases",
    [
        [b"1700000002.b", b"1700000001.c", b"1700000001.a"],
        [b"999999999.a", b"1700000001.c", b"15abc", b"x", b"-3"],
        [b"1700000002.b:c", b"1700000002.b"],
        [],
    ],
)
def test_the_order_of_many_is_that_of_each(bases: list[bytes]) -> None:
    assert names.in_order(bases) == sorted(bases, key=names.sort_key)
