"""Names, uid lists, line ends: what is written reads back, and no input raises."""

import os
import re
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from maildir import fs, names, subscriptions, uidlist
from maildir.folder import Folder

FILE_NAME = st.binary(min_size=1, max_size=60).filter(lambda name: b"/" not in name and b"\0" not in name)
KEY = FILE_NAME.filter(lambda name: b"\n" not in name)


@given(FILE_NAME, st.integers(0, 31), st.integers(0, 31))
def test_flags_read_back_and_the_base_stays(name, flags, others):
    renamed = names.with_flags(name, flags)
    assert names.flags_of(renamed) == flags
    assert names.base(renamed) == names.base(name)
    assert names.with_flags(names.with_flags(renamed, others), flags) == renamed


@given(FILE_NAME)
def test_the_order_of_new_messages_looks_at_nothing_behind_the_first_colon(name):
    assert names.sort_key(name + b":2,S") == names.sort_key(name + b":2,")


@given(
    st.integers(1, uidlist.MAX_UID),
    st.dictionaries(KEY, st.integers(1, uidlist.MAX_UID), max_size=30),
    st.integers(0, 1000),
)
def test_a_uid_list_reads_back(uidvalidity, uids, gap):
    ordered = {}
    for key, uid in sorted(uids.items(), key=lambda entry: entry[1]):
        if uid not in ordered.values():
            ordered[key] = uid
    uidnext = min(max(ordered.values(), default=0) + 1 + gap, uidlist.MAX_UID + 1)
    again = uidlist.parse(uidlist.UidList(uidvalidity, uidnext, ordered).render())
    assert (again.uidvalidity, again.uidnext, again.uids, again.fault) == (uidvalidity, uidnext, ordered, "")
    assert list(again.uids) == list(ordered)


NUMBER = st.one_of(st.integers(0, 20), st.integers(0, 1 << 34), st.integers(-5, 5)).map(lambda n: b"%d" % n)
LINE = st.one_of(
    st.tuples(NUMBER, KEY).map(b" ".join), st.binary(max_size=30), st.just(b""), NUMBER, KEY.map(lambda key: b" " + key)
)
HEAD = st.one_of(st.just(b"1 700000000 7"), st.tuples(NUMBER, NUMBER, NUMBER).map(b" ".join), st.binary(max_size=20))


@given(HEAD, st.lists(LINE, max_size=20), st.booleans())
def test_whatever_a_uid_list_holds_what_is_read_is_sound(head, lines, ended):
    data = b"\n".join([head, *lines]) + (b"\n" if ended else b"")
    found = uidlist.parse(data)
    if found is None:
        return
    uids = list(found.uids.values())
    assert uids == sorted(set(uids))
    assert all(1 <= uid < found.uidnext for uid in uids)
    assert found.uidnext <= uidlist.MAX_UID + 1
    again = uidlist.parse(found.render())
    assert (again.uidvalidity, again.uidnext, again.uids, again.fault) == (
        found.uidvalidity,
        found.uidnext,
        found.uids,
        "",
    )
    assert found.fault or found.render() == data


@given(st.binary(max_size=200))
def test_octets_that_are_no_uid_list(data):
    uidlist.parse(data)
    uidlist.parse(b"1 5 6\n" + data)


WIRE = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\0", b"\xff"]), max_size=40).map(b"".join)


def served(stored):
    """The octets that a stored text is on the wire: CRLF for each LF without a CR before it."""
    return re.sub(rb"(?<!\r)\n", b"\r\n", stored)


@given(WIRE, st.lists(st.integers(1, 7), min_size=1))
def test_any_chunking_of_a_message_is_stored_alike_and_comes_back(wire, sizes):
    with tempfile.TemporaryDirectory() as directory:
        os.mkdir(directory + "/tmp")
        message = Folder(os.fsencode(directory)).new_message()
        rest = wire
        while rest:
            size = sizes[len(rest) % len(sizes)]
            message.write(rest[:size])
            rest = rest[size:]
        message.commit()
        stored, _ = fs.read_file(message.path, 1 << 20)
    assert message.bytes_on_disk == len(stored)
    # Only a bare LF cannot come back as it was sent.
    assert served(stored) == served(wire)


MAILBOX = st.one_of(
    st.sampled_from([b"inbox", b"INBOX", b"InBox.a", b"INBOX.A"]), st.binary(min_size=1, max_size=9)
).filter(lambda name: not set(name) & set(b"\n\r\0"))


@given(st.lists(st.tuples(st.booleans(), MAILBOX), max_size=12))
def test_subscriptions_are_a_set_but_for_the_case_of_inbox(steps):
    model = []
    with tempfile.TemporaryDirectory() as directory:
        os.mkdir(directory + "/tmp")
        root = os.fsencode(directory)
        for subscribe, name in steps:
            folded = b"INBOX" + name[5:] if name[:5].upper() == b"INBOX" else name
            if subscribe:
                subscriptions.add(root, name)
                model += [] if folded in model else [folded]
            else:
                subscriptions.remove(root, name)
                model = [known for known in model if known != folded]
        found = subscriptions.read(root)
    assert [b"INBOX" + name[5:] if name[:5].upper() == b"INBOX" else name for name in found] == model
