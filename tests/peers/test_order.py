"""SORT and THREAD by the original, by Dovecot and by ours, on the same messages: the same order, the same threads.

The messages are such as every mailbox has, for about odd ones each server has its own opinion.  Where the original
differs though the standard is clear, the test says so by name, and holds ours against Dovecot alone.
"""

from __future__ import annotations

import imaplib
import os
import random
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.peers.ours import Ours
from tests.peers.programs import Courier, Dovecot, Missing, Place
from tests.peers.test_turns import session

COUNT = 120
KEYS = ("ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO")
PLAIN = (*(f"({key})" for key in KEYS), *(f"(REVERSE {key})" for key in KEYS))
MIXED = (
    *(f"({key} ARRIVAL)" for key in KEYS), *(f"(REVERSE {key} ARRIVAL)" for key in KEYS),
    "(SUBJECT REVERSE DATE ARRIVAL)", "(FROM SUBJECT DATE ARRIVAL)", "(REVERSE CC TO REVERSE SIZE REVERSE ARRIVAL)",
)  # fmt: skip
SMALL = "NOT FROM Ben@ NOT CC Flo@"  # messages whose mailboxes are in small letters
SEARCHED = (SMALL, f"SEEN {SMALL}", f"SUBJECT plan {SMALL}", f"20:90 {SMALL}", f"FROM ann NOT SEEN {SMALL}")

# What the original, but not Dovecot, does otherwise than RFC 5256 says.  Held to be so, lest it hide something else.
FALLS = "messages that no key tells apart come in falling order; section 3 wants sequence numbers"
BY_CASE = "mailboxes are compared by octets; section 2.2 wants i;ascii-casemap"
CHAINS = "a thread by subject is told as one line of descent; section 3 wants the first with all others below it"
SIBLINGS = "an answer that is found by its subject stands beside the message; section 3, step 5 C, wants it below"
ON_DISK = "sizes are those of the files, without the CRs that RFC822.SIZE counts"

Sessions = dict[str, imaplib.IMAP4]


def letters(chance: random.Random) -> Iterator[bytes]:
    """Threads with answers, each after what it answers; a few answers whose parents are missing."""
    green = "Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n"
    subjects = ("Plan", "plan for May", "Invoice 7", green, "Lunch", "a", "Z", "zebra")
    known: list[tuple[int, str, list[str]]] = []
    for number in range(COUNT):
        own = f"<{number}.{chance.randrange(1000)}@host.example>"
        if known and chance.random() < 0.6:
            _, subject, above = chance.choice(known[-20:])
            subject = chance.choice(("Re: ", "RE: ", "Fwd: ")) + subject.removeprefix("Re: ")
            references = above
        else:
            subject, references = chance.choice(subjects), []
        if chance.random() < 0.05:
            references = [f"<gone{number // 10}@host.example>"]
        known.append((number, subject, [*references, own]))
        day, hour = chance.randrange(1, 29), chance.randrange(24)
        fields = [
            f"Date: {day} Nov 2023 {hour:02d}:{number % 60:02d}:00 {chance.choice(('+0000', '-0800', '+0530'))}",
            f"From: {chance.choice(('Ann', 'Zoe'))} <{chance.choice(('ann', 'Ben', 'zoe', 'kim'))}@host.example>",
            f"To: {chance.choice(('kim@host.example', 'Lee <lee@host.example>, ann@host.example', 'b@host.example'))}",
            f"Subject: {subject}" if subject.isascii() else f"Subject: =?utf-8?b?{_base64(subject)}?=",
            f"Message-ID: {own}",
        ]
        if chance.random() < 0.4:
            fields.append(f"Cc: {chance.choice(('ed', 'Flo', 'gus'))}@host.example")
        if references:
            fields.append("References: " + "\n ".join(references))
            fields.append(f"In-Reply-To: {references[-1]}")
        yield ("\n".join(fields) + "\n\n" + "x" * chance.randrange(400) + "\n").encode()


def _base64(text: str) -> str:
    from base64 import b64encode

    return b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def sessions(place: Place, courier: Courier, ours: Ours) -> Iterator[Sessions]:
    """A session with each on one mailbox."""
    account = place.accounts[-2]  # taken by nobody else: fresh accounts are given out from the front
    chance = random.Random(5)
    for number, letter in enumerate(letters(chance)):
        name = f"{1_700_000_000 + number}.M{number:06}P7.host.example:2,{chance.choice(('', 'S'))}"
        path = place.maildir(account) / "cur" / name
        path.write_bytes(letter)
        seconds = 1_700_000_000 + chance.randrange(10**6) * 100 + number
        os.utime(path, (seconds, seconds))
    place.own_mail(place.home(account))
    with ExitStack() as stack:
        servers: list[Courier | Dovecot | Ours] = [courier, ours]
        with suppress(Missing):
            servers.append(stack.enter_context(Dovecot(place)))
        found = {server.name: stack.enter_context(session(server, account)) for server in servers}
        for imap in found.values():
            assert imap.select("INBOX", readonly=True) == ("OK", [b"%d" % COUNT])
        yield found


def test_all_have_the_same_messages(sessions: Sessions) -> None:
    told = {name: imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1] for name, imap in sessions.items()}
    ids = {name: [part[1].strip() for part in parts if isinstance(part, tuple)] for name, parts in told.items()}
    assert len(ids["ours"]) == COUNT
    assert all(one == ids["ours"] for one in ids.values())


def _sorted(sessions: Sessions, criteria: str, searched: str) -> dict[str, list[int]]:
    """What each tells; ours twice, for then it remembers."""
    told = {
        name: [int(number) for number in imap.sort(criteria, "UTF-8", searched)[1][0].split()]
        for name, imap in [*sessions.items(), ("again", sessions["ours"])]
    }
    assert len(told["ours"]) > 1
    assert told.pop("again") == told["ours"]
    return told


@pytest.mark.parametrize("criteria", MIXED)
def test_sort(sessions: Sessions, criteria: str) -> None:
    for searched in SEARCHED:
        told = _sorted(sessions, criteria, searched)
        differing = {name for name, order in told.items() if order != told["ours"]}
        assert differing <= ({"courier"} if "SIZE" in criteria else set()), (searched, ON_DISK)


@pytest.mark.parametrize("criteria", ["(FROM ARRIVAL)", "(REVERSE FROM ARRIVAL)", "(CC ARRIVAL)"])
def test_sort_by_letters_of_both_cases(sessions: Sessions, criteria: str) -> None:
    told = _sorted(sessions, criteria, "ALL")
    assert {name for name, order in told.items() if order != told["ours"]} == {"courier"}, BY_CASE


@pytest.mark.parametrize("criteria", PLAIN)
def test_sort_of_equals(sessions: Sessions, criteria: str) -> None:
    told = _sorted(sessions, criteria, SMALL)
    differing = {name for name, order in told.items() if order != told["ours"]}
    unique = "DATE" in criteria or "ARRIVAL" in criteria
    assert differing == (set() if unique else {"courier"}), FALLS


def _threads(sessions: Sessions, algorithm: str, searched: str) -> dict[str, bytes]:
    return {
        name: imap.thread(algorithm, "UTF-8", searched)[1][0]
        for name, imap in sessions.items()
        if f"THREAD={algorithm}".encode() in imap.capability()[1][0].upper().split()
    }


@pytest.mark.parametrize("searched", SEARCHED)
def test_threads_by_subject(sessions: Sessions, searched: str) -> None:
    told = _threads(sessions, "ORDEREDSUBJECT", searched)
    assert {name for name, answer in told.items() if answer != told["ours"]} <= {"courier"}
    assert _descents(told["courier"]) == _descents(told["ours"]), CHAINS


@pytest.mark.parametrize("searched", ["ALL", *SEARCHED])
def test_threads_by_references(sessions: Sessions, searched: str) -> None:
    told = _threads(sessions, "REFERENCES", searched)
    assert {name for name, answer in told.items() if answer != told["ours"]} <= {"courier"}, SIBLINGS
    # Where the answer is the older one, the thread has another date with it, and another place.
    assert sorted(map(sorted, _descents(told["courier"]))) == sorted(map(sorted, _descents(told["ours"]))), SIBLINGS
    assert ("dovecot" in told) == ("dovecot" in sessions)


def _descents(threads: bytes) -> list[list[int]]:
    """The messages of each thread, in the order in which they are told."""
    found: list[list[int]] = []
    depth = 0
    for token in re.findall(rb"\d+|[()]", threads):
        if token == b"(":
            depth += 1
            if depth == 1:
                found.append([])
        elif token == b")":
            depth -= 1
        else:
            found[-1].append(int(token))
    return found
