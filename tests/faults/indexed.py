"""A maildir whose index is put to the test: what its files say, and what sessions tell of it.

The truth is worked out from the uid list, the directory and the messages by plain means, and never from the index.
"""

from __future__ import annotations

import email.utils
import os
import random
import time
from collections.abc import Iterable
from pathlib import Path

from maildir import columns, listing
from tests.clientview import Violation
from tests.faults.letters import message_of
from tests.forked import Client, Forked

INDEX = "courierimapindex"
SETTLED_SECONDS = 0.02  # for imapds that were prepared with settle_quickly
_LETTERS = {"D": b"\\Draft", "F": b"\\Flagged", "R": b"\\Answered", "S": b"\\Seen", "T": b"\\Deleted"}
_ITEMS = b"(UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT)])"
_FIRST = 1_700_000_000
_FIRST_UID = columns.SPAN - 20  # so that few messages are in two blocks of the index

# All that comes from the index; the first opens the mailbox.
QUESTIONS = (
    b"SELECT INBOX", b"UID FETCH 1:* (FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE BODY)",
    b"UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT FROM DATE)]", b"STATUS INBOX (MESSAGES UIDNEXT UNSEEN)",
    *(b"UID SORT (%s) UTF-8 ALL" % key for key in (b"DATE", b"REVERSE SUBJECT", b"FROM ARRIVAL", b"REVERSE SIZE")),
    b"UID THREAD REFERENCES UTF-8 ALL", b"UID THREAD ORDEREDSUBJECT UTF-8 ALL",
    b"UID SEARCH SUBJECT 1", b"UID SEARCH FROM ann1", b"UID SEARCH HEADER Message-ID <1",
    b"UID SEARCH SENTSINCE 15-Nov-2023",
)  # fmt: skip

_TOLD = ("it is made anew", "without its index")

Told = tuple[frozenset[bytes], bytes, int, int]  # flags, subject, size, date
Messages = dict[int, Told]


def settle_quickly() -> None:
    """In an imapd: trust the times of files after 20 ms, which the clocks of local file systems allow."""
    listing.SETTLED_NS = int(SETTLED_SECONDS * 1e9)


class Box:
    """One maildir with messages that say in their subject which they are; identity is who owns it, if not we."""

    def __init__(self, place: Path, count: int, seed: int = 1, identity: int | None = None) -> None:
        self._identity = identity
        self.path = place / "Maildir"
        self.log = place / "log"
        self.log.touch()
        self.chance = random.Random(seed)
        self.count = 0
        self._right: tuple[object, list[list[bytes]]] = None, []  # what is told without an index, of which state
        for part in ("cur", "new", "tmp"):
            (self.path / part).mkdir(parents=True)
        (self.path / "courierimapuiddb").write_text(f"1 {_FIRST} {_FIRST_UID}\n")
        for _ in range(count):
            self.put()
        self.own()
        with self.session(IMAP_INDEX="off") as imapd:
            imapd.client.command(b"SELECT INBOX")  # numbers them
        self.log.write_text("")
        self.settle()

    @property
    def index(self) -> Path:
        """The file of the index."""
        return self.path / INDEX

    def session(self, prepare: Iterable[object] = (), **settings: str) -> Forked:
        """An imapd on it."""
        known = {"IMAP_INDEX": "on", **settings}
        return Forked(self.path, self.log, known, prepare, self._identity)  # type: ignore[arg-type]

    def own(self) -> None:
        """Give everything to the owner."""
        if self._identity is not None:
            for path in (self.log, self.path, *self.path.rglob("*")):
                os.lchown(path, self._identity, self._identity)

    def settle(self) -> None:
        """Set all times back, so that they are trusted."""
        for path in (self.path / "cur", self.path / "new", self.path / "courierimapuiddb"):
            os.utime(path, (_FIRST, _FIRST))

    def wait(self) -> None:
        """Until imapds that settle quickly trust the times of what was just changed."""
        time.sleep(SETTLED_SECONDS * 1.5)  # the passing of time is what is waited for

    # -- being another program

    def put(self, folder: str = "cur", flags: str = "") -> str:
        """A message, delivered or restored by somebody; gives its name."""
        self.count += 1
        seconds = _FIRST + self.count * 60
        name = f"{seconds}.M{self.count}P9.host.example" + (f":2,{flags}" if folder == "cur" else "")
        fields = b"Date: %s\nFrom: ann%d <ann%d@h.example>\nMessage-ID: <%d@h.example>\nReferences: <%d@h.example>\n"
        header = fields % (
            email.utils.formatdate(seconds - self.chance.randrange(9) * 86400).encode(),
            self.count % 7, self.count % 3, self.count, self.chance.randrange(self.count),
        )  # fmt: skip
        octets = header + message_of(b"x%dx" % self.count, self.chance.randrange(3000)).replace(b"\r\n", b"\n")
        (self.path / "tmp" / name).write_bytes(octets)
        os.utime(self.path / "tmp" / name, (seconds, seconds))
        (self.path / "tmp" / name).rename(self.path / folder / name)
        return name

    def names(self) -> list[str]:
        """The files in cur/."""
        return sorted(os.listdir(self.path / "cur"))

    def remove_one(self) -> None:
        """rm."""
        if names := self.names():
            (self.path / "cur" / self.chance.choice(names)).unlink()

    def rename_one(self) -> None:
        """mv: other flags."""
        if names := self.names():
            name = self.chance.choice(names)
            letters = "".join(sorted(self.chance.sample("DFRST", self.chance.randrange(4))))
            (self.path / "cur" / name).rename(self.path / "cur" / f"{name.partition(':')[0]}:2,{letters}")

    # -- what is so, and what is told

    def truth(self) -> Messages:
        """What the files say now; every one has a uid."""
        head, *lines = (self.path / "courierimapuiddb").read_text().splitlines()
        assert head.startswith("1 "), head
        uids = {base: int(uid) for uid, _, base in (line.partition(" ") for line in lines)}
        found = {}
        for name in self.names():
            base, _, letters = name.partition(":2,")
            octets = (self.path / "cur" / name).read_bytes()
            flags = frozenset(word for letter, word in _LETTERS.items() if letter in letters)
            subject = octets.partition(b"Subject: ")[2].partition(b"\n")[0]
            seconds = int((self.path / "cur" / name).stat().st_mtime)
            found[uids[base]] = flags, subject, len(octets) + octets.count(b"\n"), seconds
        return found

    def check(self, client: Client) -> None:
        """Let a session open the mailbox and tell everything twice, from the messages or from the index."""
        told = look(client)
        truth = self.truth()
        for _ in range(2):
            if told != truth:
                raise Violation(f"told {_difference(told, truth)}")
            told = look(client, select=False)

    def check_all(self, client: Client) -> None:
        """As check(), and every answer must be the one that a session without an index gives."""
        self.check(client)
        known = self.names(), (self.path / "courierimapuiddb").read_bytes()
        told = all_told(client)
        if self._right[0] != known:
            with self.session(IMAP_INDEX="off") as imapd:
                self._right = known, all_told(imapd.client)
        for question, answer, right in zip(QUESTIONS, told, self._right[1], strict=True):
            if answer != right:
                raise Violation(f"{question!r}: {sorted(set(answer) ^ set(right))[:6]}")

    def check_anew(self, prepare: Iterable[object] = (), **settings: str) -> None:
        """The same in a session of its own, and the time after it that it needs to fill the index."""
        with self.session(prepare, **settings) as imapd:
            self.check_all(imapd.client)


def log_lines(box: Box) -> list[str]:
    """What the log says about the index."""
    return [line for line in box.log.read_text().splitlines() if any(words in line for words in _TOLD)]


def change_and_check(box: Box, imapd: Forked) -> None:
    """Mail operations, each with its right answer."""
    client = imapd.client
    box.check(client)
    for command in (b"STORE 2:5 +FLAGS (\\Flagged)", b"STORE 3:4 -FLAGS (\\Flagged)", b"COPY 1 INBOX", b"NOOP"):
        answer = client.command(command)
        assert answer[-1].kind == b"OK", answer
    assert client.command(b"APPEND INBOX ", b"Subject: x999x\r\n\r\nx999x\r\n")[-1].kind == b"OK"
    assert client.command(b"STORE 6:7 +FLAGS (\\Deleted)")[-1].kind == b"OK"
    assert client.command(b"EXPUNGE")[-1].kind == b"OK"
    box.check_all(client)


def all_told(client: Client) -> list[list[bytes]]:
    r"""The answers to all questions, without what belongs to one session (\Recent)."""
    found = []
    for question in QUESTIONS:
        answer = client.command(question)
        assert answer[-1].kind == b"OK", answer[-1]
        lines = [one.raw.replace(b" \\Recent", b"").replace(b"\\Recent", b"") for one in answer[:-1]]
        found.append([line for line in lines if not line.endswith(b" RECENT\r\n")])
    return found


def _difference(told: Messages, truth: Messages) -> str:
    uids = sorted(uid for uid in told.keys() | truth.keys() if told.get(uid) != truth.get(uid))
    return "; ".join(f"uid {uid}: {told.get(uid)}, is {truth.get(uid)}" for uid in uids[:5])


def look(client: Client, select: bool = True) -> Messages:
    """What a session tells of its mailbox; each message by all ways must be the same one."""
    if select:
        answer = client.command(b"SELECT INBOX")
        assert answer[-1].kind == b"OK", answer[-1]
    found: Messages = {}
    answer = client.command(b"UID FETCH 1:* " + _ITEMS)
    assert answer[-1].kind == b"OK", answer[-1]
    for one in answer[:-1]:
        envelope = one.items.get(b"ENVELOPE")
        if envelope is None:
            continue  # news that came along
        assert isinstance(envelope, list)
        name = next(name for name in one.items if name.startswith(b"BODY["))
        subject = one.octets(name).removeprefix(b"Subject: ").strip()
        if envelope[1] != subject:
            raise Violation(f"two messages in one answer: {one!r}")
        date = email.utils.parsedate_to_datetime(one.octets(b"INTERNALDATE").decode().strip().replace("-", " ", 2))
        flags = (one.flags or frozenset()) - {b"\\Recent"}
        found[one.uid or 0] = flags, subject, int(one.octets(b"RFC822.SIZE")), int(date.timestamp())
    if found:
        uid = max(found)
        searched = client.command(b"UID SEARCH SUBJECT " + found[uid][1])
        right = sorted(each for each, told in found.items() if found[uid][1] in told[1])
        if [int(str(value, "ascii")) for value in searched[0].values] != right:  # type: ignore[arg-type]
            raise Violation(f"SEARCH SUBJECT {found[uid][1]!r}: {searched[0]!r}, right is {right}")
    return found
