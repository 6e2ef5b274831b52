"""The C imapd and ours answer FETCH and SEARCH alike, wherever the original keeps to the standard.

Not compared are ENVELOPE and BODYSTRUCTURE: there the original leaves out what it does not understand (groups, routes,
parts of a message without MIME-Version), takes the CR before a boundary for content, and shortens the list of fields.
Nor is SEARCH by size, which it takes from the disk, nor by SENTSINCE and the like, which it moves to UTC, nor "*" and
"9:1" as keys, which match nothing there.  Messages whose header ends with the file are left out: it gives them a body
of one CR.
"""

from __future__ import annotations

import imaplib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice

import pytest

from tests.corpus import generate
from tests.peers.ours import Ours
from tests.peers.programs import Courier, Place
from tests.peers.test_turns import session

COUNT = 400

Pair = tuple[imaplib.IMAP4, imaplib.IMAP4]


@pytest.fixture(scope="module")
def both(place: Place, courier: Courier, ours: Ours) -> Iterator[Pair]:
    """A session with each server on one mailbox of messages of every shape, in many states."""
    account = place.accounts[-1]  # taken by nobody else: fresh accounts are given out from the front
    whole = (content for content in generate.messages(77, 2 * COUNT, max_octets=15_000) if b"\n\n" in content)
    generate.fill_folder(place.maildir(account), islice(whole, COUNT), seed=77, count=COUNT)
    place.own_mail(place.home(account))
    with ExitStack() as stack:
        theirs, here = (stack.enter_context(session(server, account)) for server in (courier, ours))
        for imap in (theirs, here):
            assert imap.select("INBOX", readonly=True) == ("OK", [b"%d" % COUNT])
        yield theirs, here


def _answers(imap: imaplib.IMAP4, items: str) -> list[object]:
    status, parts = imap.fetch("1:*", items)
    assert status == "OK"
    return parts


@pytest.mark.parametrize(
    "items",
    [
        "(UID RFC822.SIZE)",
        "(UID INTERNALDATE)",
        "(UID BODY.PEEK[])",
        "(UID BODY.PEEK[TEXT])",
        "(UID BODY.PEEK[HEADER])",
        "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT FROM TO CC DATE REFERENCES MESSAGE-ID LIST-ID)])",
        "(UID BODY.PEEK[HEADER.FIELDS (X-NEVER-THERE)])",
        "(UID BODY.PEEK[]<100.200>)",
        "(UID BODY.PEEK[]<10000000.5>)",
    ],
)
def test_fetch(both: Pair, items: str) -> None:
    theirs, here = (_answers(imap, items) for imap in both)
    assert len(theirs) >= COUNT
    assert [pair for pair in zip(theirs, here, strict=True) if pair[0] != pair[1]] == []


CRITERIA = (
    "ALL", "SEEN", "UNSEEN", "ANSWERED", "UNANSWERED", "FLAGGED", "UNFLAGGED", "DELETED", "UNDELETED", "DRAFT",
    "UNDRAFT", "NOT SEEN", "OR SEEN FLAGGED", "OR (SEEN FLAGGED) (ANSWERED UNDELETED)", "SEEN FLAGGED UNDRAFT",
    "1:10", "5,3,1:2", "UID 1:50", "UID 390:*", "NOT 1:399",
    "SINCE 1-Jan-2024", "BEFORE 2-Jan-2024", "ON 1-Jan-2024", "SINCE 3-Jan-2030", "NOT ON 01-Jan-2024",
    "LARGER 0", "SMALLER 1", "LARGER 1000000000",
    'HEADER "List-Id" ""', 'HEADER "List-Id" "users"', 'HEADER "X-Mailer" "linux"', 'HEADER "Message-ID" "<77.3."',
    "KEYWORD never", "UNKEYWORD never",
)  # fmt: skip


@pytest.mark.parametrize("criteria", CRITERIA)
def test_search(both: Pair, criteria: str) -> None:
    for search in (lambda imap: imap.search(None, criteria), lambda imap: imap.uid("SEARCH", criteria)):
        theirs, here = (_numbers(search, imap) for imap in both)
        assert here == theirs


def _numbers(search: Callable[[imaplib.IMAP4], tuple[str, list[bytes]]], imap: imaplib.IMAP4) -> set[int]:
    status, data = search(imap)
    assert status == "OK", data
    return {int(number) for number in b" ".join(line for line in data if line).split()}
