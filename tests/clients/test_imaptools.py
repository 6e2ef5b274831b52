"""imap-tools: what scripts do with a mailbox, in Python objects."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from chain import Chain

from tests.clients.box import Box, letter, opened, subject, wire

imap_tools = pytest.importorskip("imap_tools")

_NAMES = [f"mail {number}" for number in range(1, 7)]
_FOLDERS = ["INBOX.neu & schön", "INBOX.日本", "INBOX.a b.c", "INBOX.Ünï.ćødé", "INBOX.😀"]


@pytest.fixture
def box(chain: Chain) -> Iterator[Box]:
    with opened(chain, "imaptools") as box:
        for number, name in enumerate(_NAMES, 1):
            box.deliver(letter(name, f"Grüße {number}", "x" * 900 * number), flags="S" if number > 4 else None)
        yield box


@pytest.fixture
def mailbox(box: Box) -> Iterator[object]:
    with imap_tools.MailBoxUnencrypted("127.0.0.1", box.port(), timeout=120).login(
        box.account.name, box.account.password
    ) as mailbox:
        yield mailbox


def _subjects(mailbox, criteria: object, **options: object) -> list[str]:
    return [message.subject for message in mailbox.fetch(criteria, mark_seen=False, **options)]


def test_fetches_and_marks_as_read(mailbox, box: Box) -> None:
    wanted = [message.content for message in box.messages()]
    fetched = list(mailbox.fetch(mark_seen=False, bulk=True))
    assert [message.obj.as_bytes() for message in fetched] == wanted
    assert [message.size_rfc822 for message in fetched] == [len(wire(content)) for content in wanted]
    assert fetched[2].text == wire(wanted[2].partition(b"\n\n")[2]).decode()
    assert fetched[5].flags == ("\\Seen", "\\Recent")
    assert [message.subject for message in mailbox.fetch(imap_tools.AND(seen=False), limit=2)] == _NAMES[:2]
    assert box.flags() == dict(zip(_NAMES, ["S", "S", "", "", "S", "S"], strict=True))


def test_searches(mailbox) -> None:
    a, o, n, h = imap_tools.AND, imap_tools.OR, imap_tools.NOT, imap_tools.H
    assert _subjects(mailbox, a(body="Grüße 3"), charset="UTF-8") == ["mail 3"]
    assert _subjects(mailbox, a(o(subject=["mail 2", "mail 5"]), seen=True)) == ["mail 5"]
    assert _subjects(mailbox, n(a(size_lt=3000))) == ["mail 4", "mail 5", "mail 6"]
    assert _subjects(mailbox, a(header=h("Message-ID", "mail.4@"))) == ["mail 4"]
    assert _subjects(mailbox, a(sent_date=date(2024, 3, 5), uid="2:3")) == ["mail 2", "mail 3"]
    assert _subjects(mailbox, a(sent_date_gte=date(2024, 3, 6))) == []
    assert _subjects(mailbox, "ALL", reverse=True, limit=slice(1, 3)) == ["mail 5", "mail 4"]


def test_flags_and_moves(mailbox, box: Box) -> None:
    contents = box.contents()
    uids = mailbox.uids()
    mailbox.folder.create("INBOX.neu & schön")
    mailbox.flag(uids[:2], [imap_tools.MailMessageFlags.FLAGGED, "$Later"], True)
    mailbox.flag(uids[4:], imap_tools.MailMessageFlags.SEEN, False)
    mailbox.move(uids[1:4], "INBOX.neu & schön")
    mailbox.delete(uids[5])
    assert box.flags() == {"mail 1": "F", "mail 5": ""}
    assert box.flags("neu & schön") == {"mail 2": "F", "mail 3": "", "mail 4": ""}
    assert box.contents("neu & schön") == contents[1:4]
    assert _subjects(mailbox, imap_tools.AND(keyword="$Later")) == ["mail 1"]
    mailbox.folder.set("INBOX.neu & schön")
    assert _subjects(mailbox, imap_tools.AND(keyword="$Later", flagged=True)) == ["mail 2"]
    assert mailbox.folder.status()["MESSAGES"] == 3


@pytest.mark.parametrize("folder", _FOLDERS)
def test_life_of_a_folder(mailbox, box: Box, folder: str) -> None:
    mailbox.folder.create(folder)
    mailbox.folder.subscribe(folder, True)
    when = datetime(2021, 2, 3, 4, 5, 6, tzinfo=UTC)
    content = letter("up", "Grüße", "", "\ttab ", "no end")[:-1]
    mailbox.append(wire(content), folder, when, ["\\Answered", "\\Draft", "$Sent"])
    disk = folder.removeprefix("INBOX.")
    (stored,) = box.messages(disk)
    assert (stored.content, stored.flags, stored.seconds) == (content, "DR", int(when.timestamp()))
    assert folder in {found.name for found in mailbox.folder.list(subscribed_only=True)}
    mailbox.folder.rename(folder, folder + "2")
    assert [message.content for message in box.messages(disk + "2")] == [content]
    assert not box.path(disk).exists()
    assert mailbox.folder.exists(folder + "2")
    mailbox.folder.set(folder + "2")
    (message,) = mailbox.fetch(mark_seen=False)
    assert set(message.flags) == {"\\Draft", "\\Answered", "\\Recent", "$Sent"}
    assert (message.date_str, message.size_rfc822) == ("Tue, 05 Mar 2024 10:11:12 +0100", len(wire(content)))
    mailbox.folder.unset()
    mailbox.folder.delete(folder + "2")
    assert not box.path(disk + "2").exists()


def test_waits_in_idle(box: Box) -> None:
    port = box.port(IMAP_IDLE_TIMEOUT="1")
    with imap_tools.MailBoxUnencrypted("127.0.0.1", port, timeout=120).login(
        box.account.name, box.account.password
    ) as mailbox:
        with mailbox.idle as idle:
            box.deliver(letter("fresh"))
            assert b"* 7 EXISTS" in idle.poll(timeout=120)
        assert subject(box.messages()[6].content) == "fresh"
        assert _subjects(mailbox, "7") == ["fresh"]
