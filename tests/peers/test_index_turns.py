"""The original's imapd and ours change one folder in turn, and so do a delivery agent, mv and rm; ours has an index.

After each step both tell the same: uids, flags, sizes and envelopes; ours from the index wherever it can.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import pytest

from tests.faults.indexed import SETTLED_SECONDS, settle_quickly
from tests.peers.programs import UID, Account, Courier, Missing, Place
from tests.peers.talk import SERVERS, SYSTEM, Site, Talk, uid_set

STEPS = 60
FIRST = 25
LETTERS = "DFRST"

pytestmark = [pytest.mark.root, pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")]


@pytest.fixture
def site(place: Place, fresh_account: Callable[[], Account]) -> Iterator[Site]:
    try:
        courier = Courier(place)
    except Missing as reason:
        pytest.skip(str(reason))
    with Site(place, fresh_account(), courier, [settle_quickly]) as site:
        yield site


class Turns:
    """One run, on INBOX and on a folder that messages are copied into."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self.site = site
        self.chance = chance
        self.talks = [site.open(name) for name in SERVERS]
        self.cur = site.maildir / "cur"
        self.count = 0
        self.looks = 0
        for _ in range(FIRST):
            self.deliver(self.talks[0])
        for talk in self.talks:
            talk.select(b"INBOX")

    def run(self, count: int) -> None:
        """Take so many steps."""
        steps = (self.deliver, self.store, self.store, self.expunge, self.copy, self.append, self.rename, self.remove)
        for number in range(count):
            step, actor = self.chance.choice(steps), self.chance.choice(self.talks)
            step(actor)
            self.compare(f"step {number}, {step.__name__} by {actor.name}")
            if self.chance.random() < 0.1:
                place = self.chance.randrange(2)
                self.talks[place] = self.site.reopen(self.talks[place])
                self.talks[place].select(b"INBOX")

    def compare(self, what: str) -> None:
        """Both look, the one or the other first."""
        order = list(self.talks)
        self.chance.shuffle(order)
        told = {}
        for talk in order:
            if talk.name == "ours" and self.chance.random() < 0.5:
                self.site.wait(SETTLED_SECONDS * 1.5)
                talk.command(b"NOOP")  # and has the time to store what it sees
                self.site.wait(SETTLED_SECONDS * 1.5)
            if self.chance.random() < 0.5:
                talk.select(b"INBOX")
            else:
                talk.command(b"NOOP")
            told[talk.name] = [self._look(talk), self._look(talk)]
        for again in told["ours"]:
            differing = {
                uid: (told["courier"][0].get(uid), again.get(uid))
                for uid in told["courier"][0].keys() | again.keys()
                if told["courier"][0].get(uid) != again.get(uid)
            }
            assert not differing, f"{what}: {differing}"
        self.looks += 1

    def _look(self, talk: Talk) -> dict[int, object]:
        answer = talk.command(b"UID FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE)")
        return {
            one.uid: (
                (one.flags or frozenset()) - {b"\\Recent"}, one.items[b"RFC822.SIZE"], one.items[b"INTERNALDATE"],
                one.items[b"ENVELOPE"],
            )
            for one in answer
            if b"ENVELOPE" in one.items and one.uid is not None
        }  # fmt: skip

    def _uids(self, actor: Talk) -> bytes:
        actor.select(b"INBOX")
        found = [one.uid for one in actor.command(b"UID FETCH 1:* (UID)") if one.uid is not None]
        return uid_set(sorted(self.chance.sample(found, min(len(found), self.chance.randint(1, 4))))) or b"1"

    def _letter(self) -> bytes:
        self.count += 1
        number = self.count
        lines = (
            b"Date: Mon, %d Nov 2023 10:00:%02d +0100" % (number % 28 + 1, number % 60),
            b'From: "Ann %d" <ann%d@host.example>' % (number, number % 5),
            b"To: kim@host.example, ben@host.example",
            b"Subject: =?utf-8?q?caf=C3=A9?= %d" % number,
            b"Message-ID: <%d@host.example>" % number,
            b"In-Reply-To: <%d@host.example>" % (number // 2),
            b"",
            b"x" * self.chance.randrange(900),
            b"",
        )
        return b"\r\n".join(lines)

    # -- the steps

    def deliver(self, actor: Talk) -> None:
        name = b"%d.M%06dP9.mx.example" % (1_700_000_000 + self.count, self.count)
        temporary = os.fsencode(self.site.maildir / "tmp") + b"/" + name
        with open(temporary, "wb") as file:
            file.write(self._letter().replace(b"\r\n", b"\n"))
        os.utime(temporary, (1_700_000_000 + self.count,) * 2)
        os.chown(temporary, UID, UID)
        os.rename(temporary, os.fsencode(self.site.maildir / "new") + b"/" + name)

    def append(self, actor: Talk) -> None:
        actor.command(b"APPEND INBOX (\\Flagged) ", self._letter())

    def store(self, actor: Talk) -> None:
        flags = b" ".join(self.chance.sample(SYSTEM, self.chance.randrange(3)))
        actor.command(b"UID STORE %s %sFLAGS (%s)" % (self._uids(actor), self.chance.choice((b"+", b"-", b"")), flags))

    def expunge(self, actor: Talk) -> None:
        actor.command(b"UID STORE %s +FLAGS.SILENT (\\Deleted)" % self._uids(actor))
        actor.command(b"EXPUNGE")

    def copy(self, actor: Talk) -> None:
        actor.command(b"UID COPY %s INBOX" % self._uids(actor))

    def rename(self, actor: Talk) -> None:
        for name in self._names(3):
            flags = "".join(sorted(self.chance.sample(LETTERS, self.chance.randrange(4))))
            (self.cur / name).rename(self.cur / f"{name.partition(':')[0]}:2,{flags}")

    def remove(self, actor: Talk) -> None:
        for name in self._names(2):
            (self.cur / name).unlink()

    def _names(self, most: int) -> list[str]:
        names = sorted(os.listdir(self.cur))
        return self.chance.sample(names, min(len(names), self.chance.randint(1, most)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_tell_the_same(site: Site, seed: int) -> None:
    turns = Turns(site, random.Random(seed))
    turns.run(STEPS)
    assert turns.looks == STEPS
    assert (site.maildir / "courierimapindex").stat().st_size
    assert "ndex" not in site.log.read_text()
