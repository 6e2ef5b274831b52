"""IMAPClient: names beyond ASCII, parsed answers, changes with UIDPLUS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from chain import Account, Chain

from tests.clients.conftest import COUNT, on_disk

imapclient = pytest.importorskip("imapclient")


@pytest.fixture
def imap(chain: Chain, mailbox: Account) -> Iterator[object]:
    with imapclient.IMAPClient("127.0.0.1", chain.listener().port, ssl=False, timeout=60) as imap:
        imap.login(mailbox.name, mailbox.password)
        yield imap


def test_folders(imap, mailbox: Account) -> None:
    assert imap.namespace().personal[0] == ("INBOX.", ".")
    names = {name for _, _, name in imap.list_folders()}
    assert {"INBOX", "INBOX.Sent", "INBOX.Entwürfe & Ideen", "INBOX.仕事", "INBOX.Archive.2023"} <= names
    assert "INBOX.仕事" in {name for _, _, name in imap.list_sub_folders()}
    assert imap.folder_status("INBOX", ["MESSAGES", "UNSEEN"])[b"MESSAGES"] == COUNT


def test_fetch_parsed(imap, mailbox: Account) -> None:
    imap.select_folder("INBOX", readonly=True)
    uids = imap.search()
    assert uids == sorted(uids)
    assert len(uids) == COUNT
    contents = imap.fetch(uids, ["BODY.PEEK[]", "RFC822.SIZE", "FLAGS", "INTERNALDATE"])
    assert Counter(items[b"BODY[]"] for items in contents.values()) == on_disk(mailbox.maildir)
    assert all(items[b"RFC822.SIZE"] == len(items[b"BODY[]"]) for items in contents.values())
    assert all(isinstance(items[b"INTERNALDATE"], datetime) for items in contents.values())


@pytest.mark.parametrize("folder", ["INBOX.neu & schön", "INBOX.a.b.c", "INBOX.日本"])
def test_life_of_a_folder(imap, folder: str) -> None:
    imap.create_folder(folder)
    imap.subscribe_folder(folder)
    date = datetime(2022, 5, 6, 7, 8, 9, tzinfo=UTC)
    for number in range(5):
        answer = imap.append(folder, b"Subject: %d\r\n\r\nbody\r\n" % number, [imapclient.SEEN], date)
        assert b"APPENDUID" in answer
    imap.select_folder(folder)
    assert imap.search(["SEEN", "SUBJECT", "3"]) == [4]
    imap.add_flags([2, 3], [imapclient.FLAGGED])
    assert imap.search("FLAGGED") == [2, 3]
    imap.copy([2, 3], "INBOX.Sent")
    imap.delete_messages([2, 4])
    imap.uid_expunge([4])
    assert imap.search() == [1, 2, 3, 5]
    imap.expunge()
    assert imap.search() == [1, 3, 5]
    imap.close_folder()
    imap.unsubscribe_folder(folder)
    imap.delete_folder(folder)
    assert not imap.folder_exists(folder)
