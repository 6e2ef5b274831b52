"""The C imapd and ours take turns on one Maildir: what either writes, the other reads as it was meant.

Compared is what clients see of it, and they may not download a message twice: uidvalidity, uids, flags, sizes, dates,
folders, subscriptions.  Through the whole chain of either; many more changes, by chance, are in test_random_turns.py.
"""

from __future__ import annotations

import imaplib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.corpus import generate
from tests.peers.ours import Ours
from tests.peers.programs import Account, Courier, Place

_FETCHED = re.compile(
    rb'UID (?P<uid>\d+)|FLAGS \((?P<flags>[^)]*)\)|RFC822\.SIZE (?P<size>\d+)|INTERNALDATE "(?P<date>[^"]*)"'
)
_SECONDS = 120

Servers = tuple[Courier, Ours]


@contextmanager
def session(server: Courier | Ours, account: Account) -> Iterator[imaplib.IMAP4]:
    """A session that is logged in."""
    imap = imaplib.IMAP4("127.0.0.1", server.port, timeout=_SECONDS)
    try:
        imap.login(account.address, account.password)
        yield imap
        imap.logout()
    finally:
        with suppress(OSError):  # it is closed already after LOGOUT, or after the server's BYE
            imap.shutdown()


def folders(imap: imaplib.IMAP4) -> list[bytes]:
    """The names of the mailboxes that can be selected, as LIST quotes them, in order."""
    lines = [line for line in imap.list()[1] if isinstance(line, bytes)]
    return sorted(line.rpartition(b' "." ')[2] for line in lines if rb"\Noselect" not in line)


def contents(imap: imaplib.IMAP4, mailbox: str) -> dict[str, object]:
    """What SELECT, STATUS and FETCH tell of a mailbox.

    Not EXAMINE: the original keeps no uid list then, so that a new mailbox has another uidvalidity each second.
    """
    status, data = imap.select(mailbox)
    assert status == "OK", data
    count = int(data[0] or b"0")
    uidvalidity = imap.response("UIDVALIDITY")[1]
    told = imap.status(mailbox, "(UIDNEXT UIDVALIDITY MESSAGES UNSEEN)")[1][0]
    state: dict[str, object] = {
        "uidvalidity": uidvalidity,
        "status": sorted(re.findall(rb"[A-Z]+ \d+", told.rpartition(b"(")[2])),
    }
    state["messages"] = messages = {}
    if count:
        for line in imap.fetch("1:*", "(UID FLAGS RFC822.SIZE INTERNALDATE)")[1]:
            found = _items(line)
            messages[int(found["uid"])] = (_lasting(found["flags"]), int(found["size"]), found["date"])
    assert len(messages) == count
    return state


def _items(line: bytes) -> dict[str, bytes]:
    """What one FETCH answer tells, by the names in _FETCHED."""
    found = (match.groupdict().items() for match in _FETCHED.finditer(line))
    return {name: value for items in found for name, value in items if value is not None}


def _lasting(flags: bytes) -> frozenset[bytes]:
    return frozenset(flags.split()) - {b"\\Recent"}


def everything(server: Courier | Ours, account: Account) -> dict[str, object]:
    """What a new session sees of the whole account."""
    with session(server, account) as imap:
        names = folders(imap)
        state: dict[str, object] = {name.decode(): contents(imap, name.decode()) for name in names}
        state["subscriptions"] = sorted(line.rpartition(b' "." ')[2] for line in imap.lsub()[1] if line)
    return state


@pytest.fixture
def servers(courier: Courier, ours: Ours) -> Servers:
    return courier, ours


@pytest.fixture
def account(place: Place, fresh_account: Callable[[], Account]) -> Account:
    """An account with thirty messages and some folders that no server has seen."""
    account = fresh_account()
    generate.fill(place.maildir(account), 30, seed=11, folders=True, max_octets=20_000)
    place.own_mail(place.home(account))
    return account


@pytest.mark.parametrize("first", [0, 1])
def test_uids_given_by_one_are_seen_by_the_other(servers: Servers, account: Account, first: int) -> None:
    one = everything(servers[first], account)
    other = everything(servers[1 - first], account)
    assert other == one
    assert len(one) == 10  # the INBOX, eight folders, the subscriptions


def _letter(number: int) -> bytes:
    return b"Subject: number %d\r\nFrom: kim@example.com\r\n\r\nbody\r\n" % number + b"x" * number + b"\r\n"


def test_both_at_once(servers: Servers, account: Account) -> None:
    """Two sessions that stay open on one mailbox hear of each other's changes with NOOP."""
    with session(servers[0], account) as theirs, session(servers[1], account) as ours:
        sessions = (theirs, ours)
        for imap in sessions:
            imap.select("INBOX")
        for number in range(6):
            here, there = sessions[number % 2], sessions[1 - number % 2]
            here.append("INBOX", None, None, _letter(number))  # type: ignore[arg-type]
            here.store("3", "+FLAGS", (r"\Flagged", r"\Answered")[number % 2])
            here.store("1", "+FLAGS.SILENT", r"\Deleted")
            here.expunge()
            assert there.noop()[0] == "OK"
            assert _seen(here) == _seen(there)


def _seen(imap: imaplib.IMAP4) -> dict[bytes, frozenset[bytes]]:
    """Uids and flags. An answer without a uid is a piece of news that came along."""
    answers = [_items(line) for line in imap.fetch("1:*", "(UID FLAGS)")[1]]
    return {items["uid"]: _lasting(items["flags"]) for items in answers if "uid" in items}


def test_subscriptions(servers: Servers, account: Account) -> None:
    for number, name in enumerate(("INBOX.Sent", "INBOX.&AOk-", "INBOX.not.there", "INBOX.Archive", "INBOX.Sent")):
        with session(servers[number % 2], account) as imap:
            imap.subscribe(name)
        with session(servers[(number // 2) % 2], account) as imap:
            imap.unsubscribe("INBOX.Drafts")
        seen = [everything(server, account)["subscriptions"] for server in servers]
        assert seen[0] == seen[1]
        assert name.encode() in b" ".join(seen[0]).replace(b'"', b"").split()  # type: ignore[arg-type]
