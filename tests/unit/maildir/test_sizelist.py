import pytest

from maildir import sizelist

NOW = 1795300000
GOOD = b"/3 9 1795202700\n999.b:2,S 12 4:1795202700:0\n1000.a,S=35:2,FS 39 1:1795202700:1\n1001.c d:2, 14 8:7:0\n"


def ids(octets):
    known = sizelist.parse(octets, NOW)
    return [sizelist.uidl(entry) for entry in known.entries.values()], known.fault


def test_a_list_of_the_original_is_read_and_written_octet_for_octet():
    known = sizelist.parse(GOOD, NOW)
    assert (known.validity, known.next_number, known.fault) == (1795202700, 9, "")
    assert known.entries[b"1000.a,S=35"] == (b"1000.a,S=35:2,FS", 39, 1, 1795202700, True)
    assert b"".join(known.render()) == GOOD
    assert ids(GOOD)[0] == [b"UID4-1795202700", b"UID1-1795202700", b"UID8-7"]


def test_a_new_message_gets_the_next_number():
    known = sizelist.parse(GOOD, NOW)
    known.give(b"5.new:2,", 14, True)
    assert b"".join(known.render()).startswith(b"/3 10 1795202700\n5.new:2, 14 9:1795202700:1\n999.b")


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"/2 9 7\n1.a:2, 12 4:7\n2.b:2, 12 5:0\n", [b"UID4-7", b"UID5"]),
        (b"/1 9\n1.a:2, 12 4\n2.b:2, 12 5\n", [b"UID4", b"UID5"]),
        (b"1.a:2, 12\n2.b+'c:2,S 13\n", [b"1.a", b"2.b+2B+27c"]),
        (b"/2 9 7\n1.a:2, 12 0:0\n", [b"1.a"]),
    ],
)
def test_older_versions_keep_their_ids_and_are_written_anew(octets, expected):
    assert ids(octets)[0] == expected
    known = sizelist.parse(octets, NOW)
    assert known.fault.startswith("version ")
    again = b"".join(known.render())
    assert again.startswith(b"/3 ")
    assert ids(again) == (expected, "")


@pytest.mark.parametrize(
    "octets", [b"", b"/", b"/3", b"/3 4 5", b"/3 x 5\n", b"/4 9 7\n1.a:2, 12 4:7:0\n", b"/-1 9 7\n"]
)
def test_what_cannot_be_believed_has_a_fault_and_no_entries(octets):
    known = sizelist.parse(octets, NOW)
    assert known.entries == {}
    assert known.validity == NOW
    assert known.fault


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"/3 9 7\n1.a:2, 12 4:7:0\n2.b:2, 12 5:7", [b"UID4-7"]),
        (b"/3 9 7\nrubbish\n1.a:2, 12 4:7:0\n\n", [b"UID4-7"]),
        (b"/3 9 7\n1.a:2, 12 4:7:0\n1.a:2,S 12 5:7:0\n", [b"UID4-7"]),
        (b"/3 9 7\n1.a:2, " + b"9" * 30 + b" 4:7:0\n2.b:2, 3 5:7:0\n", [b"UID5-7"]),
    ],
)
def test_a_damaged_list_keeps_what_is_whole(octets, expected):
    found, fault = ids(octets)
    assert sorted(found) == expected
    assert fault


def test_a_number_is_never_given_twice_whatever_line_1_says():
    known = sizelist.parse(b"/3 2 7\n1.a:2, 12 40:7:0\n", NOW)
    known.give(b"2.b", 1, False)
    assert sizelist.uidl(known.entries[b"2.b"]) == b"UID41-7"
