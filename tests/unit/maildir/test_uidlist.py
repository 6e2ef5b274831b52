import pytest

from maildir import uidlist
from maildir.uidlist import Exhausted, UidList, parse

GOOD = b"1 795202663 6\n1 10.a,S=3\n5 11.b:c\n"


def test_a_list_of_the_original_is_read_and_written_octet_for_octet():
    found = parse(GOOD)
    assert (found.uidvalidity, found.uidnext, found.uids) == (795202663, 6, {b"10.a,S=3": 1, b"11.b:c": 5})
    assert found.fault == ""
    assert found.render() == GOOD


def test_new_messages_get_the_next_uids():
    found = parse(GOOD)
    assert found.number([b"x", b"y"]) == [6, 7]
    assert found.render() == b"1 795202663 8\n1 10.a,S=3\n5 11.b:c\n6 x\n7 y\n"


def test_an_empty_folder_keeps_its_next_uid():
    assert parse(b"1 7 900\n").render() == b"1 7 900\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"1 5",
        b"1 795202663 6",  # cut off: the next uid may have been 61
        b"2 795202663 6\n1 a\n",
        b"0 795202663 6\n",
        b"1 0 6\n",
        b"1 5 0\n",
        b"1 5\n1 a\n",
        b"1 4294967296 6\n",
        b"1 5 99999999999\n",
        b"1 -5 6\n",
        b"1 5_0 6\n",
        b"\0" * 4096,
        b"garbage" * 100,
        b"1 795202663 " + b"6" * 100 + b"\n",
    ],
)
def test_without_a_good_first_line_there_is_no_list(data):
    assert parse(data) is None


@pytest.mark.parametrize(
    ("data", "uids", "uidnext", "line"),
    [
        (b"1 9 6\n1 a\nrubbish\n5 b\n", {b"a": 1, b"b": 5}, 6, "line 3"),
        (b"1 9 6\n1 a\n\n5 b\n", {b"a": 1, b"b": 5}, 6, "line 3"),
        (b"1 9 6\n1 a\n1 b\n", {b"a": 1}, 6, "line 3"),  # one uid, two messages: the first keeps it
        (b"1 9 6\n1 a\n2 a\n", {b"a": 1}, 6, "line 3"),
        (b"1 9 6\n5 b\n1 a\n", {b"a": 1, b"b": 5}, 6, "line 3"),
        (b"1 9 3\n1 a\n5 b\n", {b"a": 1, b"b": 5}, 6, "line 1"),
        (b"1 9 6\n1 a\n5 b\0\n", {b"a": 1}, 6, "line 3"),
        (b"1 9 6\n1 a\n" + b"\0" * 100, {b"a": 1}, 6, "line 3"),
        (b"1 9 6\n1 a\n5 b", {b"a": 1, b"b": 5}, 6, "last line"),
        (b"1 9 6\n0 a\n5 b\n", {b"b": 5}, 6, "line 2"),
        (b"1 9 6\n4294967296 a\n5 b\n", {b"b": 5}, 6, "line 2"),
        (b"1 9 6\n1\n5 b\n", {b"b": 5}, 6, "line 2"),
        (b"1 9 6\n99999999999999 a\n5 b\n", {b"b": 5}, 6, "line 2"),
        (b"1 9 6\n4294967295 a\n5 b\n", {b"b": 5, b"a": 4294967295}, 4294967296, "line 3"),
    ],
)
def test_a_damaged_list_is_read_for_what_can_be_believed(data, uids, uidnext, line):
    found = parse(data)
    assert found.uids == uids
    assert list(found.uids.values()) == sorted(uids.values())
    assert found.uidnext == uidnext
    assert found.fault.startswith(line) or line in found.fault
    again = parse(found.render())
    assert (again.uids, again.uidnext, again.fault) == (uids, uidnext, "")


def test_uids_end_at_two_to_the_32nd():
    found = UidList(9, 0xFFFFFFFF)
    assert found.number([b"a"]) == [0xFFFFFFFF]
    with pytest.raises(Exhausted):
        found.number([b"b"])


def test_uidvalidity_counts_from_the_epoch_of_the_original():
    assert uidlist.first_uidvalidity(1_795_202_663) == 795_202_663
    assert uidlist.first_uidvalidity(5) == 1


def test_a_file_of_newlines_alone_makes_no_list_of_millions():
    found = parse(b"1 9 6\n" + b"\n" * (3 << 20) + b"1 a\n")
    assert found.uids == {b"a": 1}


def test_a_line_without_end_is_one_bad_line():
    found = parse(b"1 9 6\n1 a\n" + b"x" * (3 << 20))
    assert found.uids == {b"a": 1}
    assert found.fault == "line 3"
