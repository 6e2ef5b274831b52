"""Random steps of the original's imapd and ours in turn: after each both tell the same, and it is what a model says."""

from __future__ import annotations

import random
from collections import Counter

from imapd.mailbox import folder_of
from tests.peers.talk import (
    KEYWORDS,
    SERVERS,
    SYSTEM,
    Differ,
    Mailbox,
    Messages,
    Refused,
    Sight,
    Site,
    Talk,
    letter,
    quoted,
    uid_set,
)  # fmt: skip

POOL = (b"a", b"a.b", b"a.b.c", b"c", b"&AOk-", b"&AOk-.z", b"a.&U,BTFw-", b"x &- y", b"A")
NAMES = tuple(b"INBOX." + name for name in POOL)
SUBSCRIBABLE = (*NAMES, b"INBOX", b"INBOX.never.there")
ENOUGH = 12  # messages in a mailbox; then more go than come


class Expected:
    """What one mailbox must hold: `known` by uid, `arrived` in any order (who stored them tells no uid)."""

    def __init__(self) -> None:
        self.uidvalidity = 0  # not known yet
        self.uidnext = 1
        self.known: Messages = {}
        self.arrived: list[tuple[frozenset[bytes], bytes]] = []
        self.ever: dict[int, bytes] = {}  # subject by uid, of every message that has been here

    def renumbered(self) -> None:
        """RENAME by the original: it makes a new uid list, so that every message is new to clients."""
        self.arrived += self.known.values()
        self.known, self.ever, self.uidvalidity, self.uidnext = {}, {}, 0, 1

    def check(self, name: bytes, told: Mailbox) -> None:
        """Hold against what was told; what is new becomes known."""
        if self.uidvalidity not in (0, told.uidvalidity):
            raise Differ(f"{name!r}: uidvalidity was {self.uidvalidity}, is {told.uidvalidity}")
        if told.uidnext < self.uidnext:
            raise Differ(f"{name!r}: uidnext was {self.uidnext}, is {told.uidnext}")
        new = {uid: message for uid, message in told.messages.items() if uid not in self.known}
        reused = [uid for uid in new if uid < self.uidnext or self.ever.get(uid, new[uid][1]) != new[uid][1]]
        if reused:
            raise Differ(f"{name!r}: uids that were used before: {reused}")
        if {uid: told.messages.get(uid) for uid in self.known} != self.known:
            raise Differ(f"{name!r}: expected {self.known}, told {told.messages}")
        if Counter(new.values()) != Counter(self.arrived):
            raise Differ(f"{name!r}: expected to arrive {self.arrived}, told {new}")
        self.known.update(new)
        self.ever.update((uid, message[1]) for uid, message in new.items())
        self.arrived = []
        self.uidvalidity, self.uidnext = told.uidvalidity, told.uidnext


class InTurn:
    """One run of steps in turn.

    slow is how much of its share of DELETE and RENAME the original gets: it sleeps for two seconds at each.
    """

    def __init__(self, site: Site, chance: random.Random, slow: float = 1.0) -> None:
        self.site = site
        self.chance = chance
        self.talks = [site.open(name) for name in SERVERS]
        self.model: dict[bytes, Expected] = {b"INBOX": Expected()}
        self.subscribed: set[bytes] = set()
        self.counts: Counter[str] = Counter()
        self._number = 0
        self._slow = slow
        steps = {
            self.append: 5, self.deliver: 4, self.flag: 5, self.keyword: 5, self.replace: 2, self.expunge: 4,
            self.copy: 4, self.create: 4, self.delete: 2, self.rename: 2, self.subscribe: 2,
        }  # fmt: skip
        self._steps, self._weights = list(steps), list(steps.values())

    def run(self, count: int) -> None:
        """Take so many steps; raises Differ or Refused."""
        for number in range(count):
            place = self.chance.randrange(2)
            step = self.chance.choices(self._steps, self._weights)[0]
            if step in (self.delete, self.rename) and self.chance.random() > self._slow:
                place = SERVERS.index("ours")
            actor = self.talks[place]
            try:
                said = step(actor)
                self._compare(self.chance.randrange(2))
            except AssertionError as problem:
                raise type(problem)(f"step {number}, {step.__name__} by {actor.name}: {problem}") from problem
            self.counts[f"{step.__name__} by {said or actor.name}"] += 1
            if self.chance.random() < 0.03:
                self.talks[place] = self.site.reopen(actor)

    def _compare(self, first: int) -> None:
        sights: dict[int, Sight] = {first: self.talks[first].look()}
        sights[1 - first] = self.talks[1 - first].look()
        told = sights[0].differences(sights[1])
        if told:
            raise Differ("the original and ours: " + "\n".join(told))
        mailboxes = sights[0].mailboxes
        if mailboxes.keys() != self.model.keys():
            raise Differ(f"mailboxes: expected {sorted(self.model)}, told {sorted(mailboxes)}")
        for name, expected in self.model.items():
            expected.check(name, mailboxes[name])
        subscribed = {line.rstrip().rpartition(b' "." ')[2].strip(b'"') for line in sights[0].subscribed
                      if b"Noselect" not in line}  # fmt: skip
        if subscribed != self.subscribed:
            raise Differ(f"subscribed: expected {self.subscribed}, told {subscribed}")

    # -- what the steps choose from

    def _mailbox(self) -> bytes:
        return self.chance.choice(sorted(self.model))

    def _with_messages(self, actor: Talk) -> tuple[bytes, Expected, list[int]]:
        """A mailbox, selected, and some uids of it; a message is made where there is none."""
        names = [name for name, expected in sorted(self.model.items()) if expected.known]
        if not names:
            self.append(actor)
            self._compare(0)
            names = [name for name, expected in self.model.items() if expected.known]
        name = self.chance.choice(names)
        expected = self.model[name]
        actor.select(name)
        return name, expected, sorted(self.chance.sample(sorted(expected.known), self.chance.randint(1, 3) if
                                                         len(expected.known) > 2 else 1))  # fmt: skip

    def _subject(self) -> bytes:
        self._number += 1
        return b"number %d" % self._number

    def _some(self, words: tuple[bytes, ...]) -> frozenset[bytes]:
        return frozenset(self.chance.sample(words, self.chance.randrange(3)))

    # -- the steps

    def append(self, actor: Talk) -> None:
        """With flags and keywords, and at times a date."""
        name, subject = self._mailbox(), self._subject()
        flags = self._some(SYSTEM) | self._some(KEYWORDS)
        date = self.chance.choice((b"", b'"01-Feb-2021 10:00:00 +0100" '))
        actor.command(b"APPEND %s (%s) %s" % (quoted(name), b" ".join(sorted(flags)), date), letter(subject))
        self.model[name].arrived.append((flags, subject))

    def deliver(self, actor: Talk) -> str:
        """Neither server has a part in it."""
        name = self._mailbox()
        for _ in range(self.chance.randint(1, 3)):
            subject = self._subject()
            self.site.deliver(folder_of(name), subject)
            self.model[name].arrived.append((frozenset(), subject))
        return "a delivery agent"

    def flag(self, actor: Talk) -> None:
        """Add or remove flags."""
        self._store(actor, self._some(SYSTEM))

    def keyword(self, actor: Talk) -> None:
        """Add or remove keywords."""
        self._store(actor, self._some(KEYWORDS))

    def _store(self, actor: Talk, words: frozenset[bytes]) -> None:
        _, expected, uids = self._with_messages(actor)
        adding = self.chance.random() < 0.6
        silent = self.chance.choice((b"", b".SILENT"))
        sign = b"+" if adding else b"-"
        actor.command(b"UID STORE %s %sFLAGS%s (%s)" % (uid_set(uids), sign, silent, b" ".join(sorted(words))))
        for uid in uids:
            flags, subject = expected.known[uid]
            expected.known[uid] = (flags | words if adding else flags - words), subject

    def replace(self, actor: Talk) -> None:
        """FLAGS: these flags and keywords, and no others."""
        _, expected, uids = self._with_messages(actor)
        words = self._some(SYSTEM) | self._some(KEYWORDS)
        actor.command(b"UID STORE %s FLAGS (%s)" % (uid_set(uids), b" ".join(sorted(words))))
        for uid in uids:
            expected.known[uid] = words, expected.known[uid][1]

    def expunge(self, actor: Talk) -> None:
        """Of a full mailbox most."""
        _, expected, uids = self._with_messages(actor)
        if len(expected.known) > ENOUGH:
            uids = sorted(expected.known)[: ENOUGH // 2 + 1]
        actor.command(b"UID STORE %s +FLAGS.SILENT (\\Deleted)" % uid_set(uids))
        actor.command(b"EXPUNGE")
        expected.known = {
            uid: (flags, subject)
            for uid, (flags, subject) in expected.known.items()
            if uid not in uids and b"\\Deleted" not in flags
        }

    def copy(self, actor: Talk) -> None:
        """Into any mailbox, the selected one too."""
        _, expected, uids = self._with_messages(actor)
        target = self._mailbox()
        actor.command(b"UID COPY %s %s" % (uid_set(uids), quoted(target)))
        self.model[target].arrived += [expected.known[uid] for uid in uids]

    def create(self, actor: Talk) -> str:
        """One that is not there, or is."""
        name = self.chance.choice(NAMES)
        if name in self.model:
            try:
                actor.command(b"CREATE " + quoted(name))
            except Refused:
                return f"{actor.name}, refused"
            raise Differ(f"CREATE of {name!r}, which is there, was OK")
        actor.command(b"CREATE " + quoted(name))
        self.model[name] = Expected()
        return ""

    def delete(self, actor: Talk) -> str:
        """Not those below it."""
        names = [name for name in sorted(self.model) if name != b"INBOX"]
        if not names:
            return self.create(actor) or f"{actor.name}, nothing there"
        name = self.chance.choice(names)
        actor.command(b"DELETE " + quoted(name))
        del self.model[name]
        return ""

    def rename(self, actor: Talk) -> str:
        """With those below it.

        Of those that there are, and to a free place: the original says OK to the renaming of what is not there.
        """
        names = [name for name in sorted(self.model) if name != b"INBOX"]
        if not names:
            return self.create(actor) or f"{actor.name}, nothing there"
        old = self.chance.choice(names)
        moved = [name for name in self.model if name == old or name.startswith(old + b".")]
        free = [
            new for new in NAMES
            if new != old and not new.startswith(old + b".") and not any(
                name == new or name.startswith(new + b".") for name in self.model
            )
        ]  # fmt: skip
        if not free:
            return f"{actor.name}, no place"
        new = self.chance.choice(free)
        actor.command(b"RENAME %s %s" % (quoted(old), quoted(new)))
        for name in moved:
            expected = self.model[new + name[len(old) :]] = self.model.pop(name)
            # Ours keeps the uids, as RFC 3501 section 6.3.5 wishes; the original cannot be made to.
            if actor.name == "courier":
                expected.renumbered()
        return ""

    def subscribe(self, actor: Talk) -> None:
        """And unsubscribe."""
        name = self.chance.choice(SUBSCRIBABLE)
        if self.chance.random() < 0.6:
            actor.command(b"SUBSCRIBE " + quoted(name))
            self.subscribed.add(name)
        else:
            actor.command(b"UNSUBSCRIBE " + quoted(name))
            self.subscribed.discard(name)
