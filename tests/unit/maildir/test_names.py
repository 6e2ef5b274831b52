import os
import re

import pytest

from maildir import names


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        (b"1.a.host:2,", 0),
        (b"1.a.host:2,S", names.SEEN),
        (b"1.a.host:2,DFRST", 31),
        (b"1.a.host:2,TSRFD", 31),
        (b"1.a.host:2,aSb", names.SEEN),
        (b"1.a.host", 0),
        (b"2,S", 0),
        (b"1.a.host:1,S", 0),
        (b"1.a:2,F:2,S", names.SEEN),
        (b"", 0),
    ],
)
def test_flags_are_read_behind_the_last_colon(name, flags):
    assert names.flags_of(name) == flags
    assert names.flags_of_all([name, name]) == bytearray([flags, flags])


@pytest.mark.parametrize(
    ("name", "flags", "wanted"),
    [
        (b"1.a.host", 0, b"1.a.host:2,"),
        (b"1.a.host:2,", names.SEEN | names.DRAFT, b"1.a.host:2,DS"),
        (b"1.a.host:2,DFRST", 0, b"1.a.host:2,"),
        (b"1.a.host:2,SPa", names.FLAGGED, b"1.a.host:2,FPa"),
        (b"1.a.host:1,S", names.SEEN, b"1.a.host:2,S"),
        (b"1.a:b:2,T", names.DELETED, b"1.a:b:2,T"),
    ],
)
def test_flags_are_written_in_order_and_strange_letters_stay(name, flags, wanted):
    assert names.with_flags(name, flags) == wanted


def test_base_is_everything_before_the_last_colon():
    assert names.base(b"1.a:2,S") == b"1.a"
    assert names.base(b"1.a:b:2,S") == b"1.a:b"
    assert names.base(b"1.a") == b"1.a"


def test_new_messages_are_ordered_by_number_then_bytes_up_to_the_first_colon():
    given = [b"10.b:2,", b"9.z", b"10.a:2,S", b"x", b"-1.a", b"+9.a", b"0010.0"]
    assert sorted(given, key=names.sort_key) == [b"-1.a", b"x", b"+9.a", b"9.z", b"0010.0", b"10.a:2,S", b"10.b:2,"]
    assert names.sort_key(b"99999999999999999999999.a")[0] == (1 << 63) - 1


def test_a_unique_name_has_the_form_of_the_original(monkeypatch):
    monkeypatch.setenv("HOSTNAME", "mail.example")
    temporary = names.temporary(b"7")
    assert re.fullmatch(rb"\d+\.M\d+P%d_7\.mail\.example" % os.getpid(), temporary)
    name = names.unique(b"1795202663.M848484P27364_1.host.P9", 0xFE00, 0x5A6039, 35)
    assert name == b"1795202663.M848484P27364V000000000000FE00I00000000005A6039_1.host.P9,S=35"
    assert re.fullmatch(rb"\d+\.M\d+P\d+\.mail\.example", names.temporary())


def test_a_host_name_cannot_break_a_name(monkeypatch):
    monkeypatch.setenv("HOSTNAME", "a/b:c")
    assert names.hostname() == rb"a\057b\072c"
    monkeypatch.delenv("HOSTNAME")
    assert names.hostname() == os.uname().nodename.encode()


@pytest.mark.parametrize("name", [b".", b".Sent", b".a.b", b".a b", ".é".encode(), b".R&AOk-pertoire", rb".Foo\056Bar"])
def test_folder_names(name):
    assert names.is_folder(name)


@pytest.mark.parametrize("name", [b"", b"..", b"cur", b"a", b".a.", b"..a", b".a..b", b".a/b", b"./a", b".a\0"])
def test_what_is_no_folder_name(name):
    assert not names.is_folder(name)
