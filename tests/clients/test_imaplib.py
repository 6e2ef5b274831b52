"""imaplib reads a mailbox of thousands: every octet as it lies on the disk, in every way to ask for it."""

from __future__ import annotations

import email
import imaplib
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from chain import Account, Chain

from tests.clients.conftest import COUNT, on_disk

_SECONDS = 60


@pytest.fixture
def imap(chain: Chain, mailbox: Account) -> Iterator[imaplib.IMAP4]:
    with imaplib.IMAP4("127.0.0.1", chain.listener().port, timeout=_SECONDS) as imap:
        imap.login(mailbox.name, mailbox.password)
        yield imap


def literals(parts: list[object]) -> list[bytes]:
    """The literals of the answers to FETCH."""
    return [part[1] for part in parts if isinstance(part, tuple)]


def test_every_octet(imap: imaplib.IMAP4, mailbox: Account) -> None:
    status, data = imap.select("INBOX", readonly=True)
    assert (status, data) == ("OK", [b"%d" % COUNT])
    parts = imap.fetch("1:*", "(BODY.PEEK[])")[1]
    assert Counter(literals(parts)) == on_disk(mailbox.maildir)


def test_pieces_make_the_whole(imap: imaplib.IMAP4) -> None:
    imap.select("INBOX", readonly=True)
    which = "1:300"
    whole = literals(imap.fetch(which, "(RFC822)")[1])
    headers = literals(imap.fetch(which, "(BODY.PEEK[HEADER])")[1])
    texts = literals(imap.fetch(which, "(BODY.PEEK[TEXT])")[1])
    assert [header + text for header, text in zip(headers, texts, strict=True)] == whole
    begins = literals(imap.fetch(which, "(BODY.PEEK[]<0.100>)")[1])
    rests = literals(imap.fetch(which, "(BODY.PEEK[]<100.1000000>)")[1])
    assert [begin + rest for begin, rest in zip(begins, rests, strict=True)] == whole
    sizes = [int(size) for line in imap.fetch(which, "(RFC822.SIZE)")[1] for size in re.findall(rb"SIZE (\d+)", line)]
    assert sizes == [len(content) for content in whole]


def test_folders_hold_what_is_on_disk(imap: imaplib.IMAP4, mailbox: Account) -> None:
    folders = {
        "INBOX.Sent": ".Sent", '"INBOX.Entw&APw-rfe &- Ideen"': ".Entwürfe & Ideen", "INBOX.&TtVOiw-": ".仕事",
        "INBOX.Archive.2023": ".Archive.2023",
    }  # fmt: skip
    for mailbox_name, folder in folders.items():
        assert imap.select(mailbox_name, readonly=True)[0] == "OK"
        assert Counter(literals(imap.fetch("1:*", "(BODY.PEEK[])")[1])) == on_disk(mailbox.maildir / folder)
    subscribed = b"".join(line for line in imap.lsub()[1] if line)
    assert b"&TtVOiw-" in subscribed
    assert b"2023" in subscribed


def test_search_by_header_finds_them_all(imap: imaplib.IMAP4) -> None:
    imap.select("INBOX", readonly=True)
    headers = literals(imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (List-Id)])")[1])
    wanted = [number for number, header in enumerate(headers, 1) if b"maildir-format" in header]
    found = imap.search(None, 'HEADER "List-Id" "maildir-format"')[1][0]
    assert [int(number) for number in found.split()] == wanted
    assert len(wanted) > 20


def test_append_change_copy_expunge(imap: imaplib.IMAP4) -> None:
    letter = b"From: a@example.com\r\nSubject: appended\r\n\r\nna\xc3\xafve .\r\n"
    imap.create("INBOX.here")
    assert imap.append("INBOX.here", r"(\Flagged)", '"03-Mar-2020 04:05:06 +0000"', letter)[0] == "OK"
    assert imap.select("INBOX.here") == ("OK", [b"1"])
    flags, content = imap.fetch("1", "(FLAGS INTERNALDATE BODY[])")[1][0]
    assert content == letter
    assert email.message_from_bytes(content)["Subject"] == "appended"
    assert b'INTERNALDATE "03-Mar-2020 04:05:06 +0000"' in flags
    assert b"\\Flagged" in flags
    assert imap.copy("1", "INBOX.here")[0] == "OK"
    imap.noop()
    imap.store("1", "+FLAGS", r"\Deleted")
    assert imap.expunge() == ("OK", [b"1"])
    assert imap.uid("SEARCH", "ALL")[1] == [b"2"]
    imap.close()
    assert imap.delete("INBOX.here")[0] == "OK"
