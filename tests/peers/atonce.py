"""Two sessions with the original's imapd and two with ours at the same time, and a delivery agent, on one maildir."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator

from imapd.mailbox import folder_of
from tests.peers.talk import KEYWORDS, SERVERS, SYSTEM, Differ, Refused, Site, Talk, letter, quoted, uid_set

UNAVAILABLE = b"message unavailable"
WAIT_SECONDS = 60


class AtOnce:
    """One run of two sessions with each server at the same time.

    Messages in the steady mailboxes are keepers, which nobody removes, or doomed; the other mailboxes come and go.
    Not held to anything is what two sessions do to one message's flags or keywords, or to the subscriptions: with the
    original the last writer wins.  Nor that a keeper keeps its uid: the original can overlook a file that is being
    renamed, and gives it the next uid afterwards.
    """

    STEADY = (b"INBOX", b"INBOX.steady")
    MOVING = (b"INBOX.m", b"INBOX.m.a", b"INBOX.n", b"INBOX.n.b")
    # What ours may answer when somebody else was faster.
    RACES = (b"[EXPUNGEISSUED]", b"[NONEXISTENT]", b"[TRYCREATE]", b"[ALREADYEXISTS]", b"Can't RENAME the currently")

    def __init__(self, site: Site, chance: random.Random) -> None:
        self.site = site
        # Ours may be so many steps ahead: without that it would be done, and the original alone, before long.
        self._ahead = threading.Semaphore(20)
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.unavailable = 0
        self._chance = chance
        self._guard = threading.Lock()
        self._keepers: set[bytes] = set()
        self._seen: dict[tuple[bytes, int, int], bytes] = {}
        self._problems: list[BaseException] = []

    def run(self, count: int) -> None:
        """Take so many steps, then look whether all is well; raises Differ."""
        first = self.site.open("ours")
        for name in self.STEADY[1:]:
            first.command(b"CREATE " + quoted(name))
        talks = [self.site.open(name) for name in SERVERS * 2]
        steps = iter(range(count))  # whoever is ready takes the next
        workers = [
            threading.Thread(target=self._work, args=(talk, random.Random(self._chance.random()), steps))
            for talk in talks
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if self._problems:
            raise self._problems[0]
        self._check_end()

    def _check_end(self) -> None:
        sights = [self.site.open(name).look() for name in SERVERS]
        told = sights[0].differences(sights[1])
        if told:
            raise Differ("the original and ours, after all: " + "\n".join(told))
        for name in self.STEADY:
            mailbox = sights[0].mailboxes[name]
            self._note(name, mailbox.uidvalidity, {uid: subject for uid, (_, subject) in mailbox.messages.items()})
        there = Counter(subject for name in self.STEADY for _, subject in sights[0].mailboxes[name].messages.values())
        lost = [subject for subject in self._keepers if not there[subject]]
        if lost:
            raise Differ(f"lost: {lost}")

    def _note(self, name: bytes, uidvalidity: int, subjects: dict[int, bytes]) -> None:
        """One uid, one message; one mailbox, one uidvalidity."""
        with self._guard:
            for uid, subject in subjects.items():
                known = self._seen.setdefault((name, uidvalidity, uid), subject)
                if known != subject:
                    raise Differ(f"{name!r}: uid {uid} was {known!r}, is {subject!r}")
            if len({key[1] for key in self._seen if key[0] == name}) > 1:
                raise Differ(f"{name!r}: two uidvalidities")

    def _work(self, talk: Talk, chance: random.Random, numbers: Iterator[int]) -> None:
        steps = {
            self._append: 5, self._deliver: 3, self._flag: 6, self._expunge: 4, self._copy: 3, self._noop: 2,
            self._move_about: 4, self._subscribe: 1,
        }  # fmt: skip
        try:
            for number in numbers:
                step = chance.choices(list(steps), list(steps.values()))[0]
                subject = b"%s %d" % (chance.choice((b"keeper", b"doomed")), number)
                if talk.name == "ours":
                    self._ahead.acquire(timeout=WAIT_SECONDS)
                self._take(step, talk, chance, subject)
                if talk.name == "courier":
                    self._ahead.release()
        except BaseException as problem:
            self._problems.append(problem)

    def _take(self, step: Callable[[Talk, random.Random, bytes], None], talk: Talk, chance: random.Random,
              subject: bytes) -> None:  # fmt: skip
        said = f"{step.__name__.strip('_')} by {talk.name}"
        try:
            step(talk, chance, subject)
            self.counts[said] += 1
        except Refused as refused:
            self.refused[said] += 1
            if talk.name == "ours" and not any(race in str(refused).encode() for race in self.RACES):
                raise

    # -- the steps

    def _look(self, talk: Talk, name: bytes) -> dict[int, bytes]:
        mailbox = talk.contents(name)
        subjects = {uid: subject for uid, (_, subject) in mailbox.messages.items()}
        if talk.name == "courier":
            # What it cannot open, because somebody has renamed or removed it, the original tells as this message.
            self.unavailable += sum(subject == UNAVAILABLE for subject in subjects.values())
            subjects = {uid: subject for uid, subject in subjects.items() if subject != UNAVAILABLE}
        self._note(name, mailbox.uidvalidity, subjects)
        return subjects

    def _append(self, talk: Talk, chance: random.Random, subject: bytes) -> None:
        name = chance.choice(self.STEADY)
        flags = b" ".join((chance.choice(SYSTEM[:4]), chance.choice(KEYWORDS)))
        talk.command(b"APPEND %s (%s) " % (quoted(name), flags), letter(subject))
        self._keep(subject)

    def _deliver(self, talk: Talk, chance: random.Random, subject: bytes) -> None:
        self.site.deliver(folder_of(chance.choice(self.STEADY)), subject)
        self._keep(subject)

    def _keep(self, subject: bytes) -> None:
        if subject.startswith(b"keeper"):
            with self._guard:
                self._keepers.add(subject)

    def _flag(self, talk: Talk, chance: random.Random, subject: bytes) -> None:
        subjects = self._look(talk, chance.choice(self.STEADY))
        uids = chance.sample(sorted(subjects), min(len(subjects), 3))
        if uids:
            words = b" ".join((chance.choice(SYSTEM[:4]), chance.choice(KEYWORDS)))
            sign = chance.choice((b"+", b"-"))
            talk.command(b"UID STORE %s %sFLAGS (%s)" % (uid_set(uids), sign, words))

    def _expunge(self, talk: Talk, chance: random.Random, subject: bytes) -> None:
        subjects = self._look(talk, chance.choice(self.STEADY))
        uids = [uid for uid, subject in subjects.items() if subject.startswith(b"doomed")][:6]
        if uids:
            talk.command(b"UID STORE %s +FLAGS.SILENT (\\Deleted)" % uid_set(uids))
        talk.command(b"EXPUNGE")

    def _copy(self, talk: Talk, chance: random.Random, subject: bytes) -> None:
        subjects = self._look(talk, chance.choice(self.STEADY))
        uids = [uid for uid, subject in subjects.items() if subject.startswith(b"doomed")][-2:]
        if uids:
            target = chance.choice((*self.STEADY, *self.MOVING))
            talk.command(b"UID COPY %s %s" % (uid_set(uids), quoted(target)))

    def _noop(self, talk: Talk, chance: random.Random, subject: bytes) -> None:
        talk.command(b"NOOP")

    def _move_about(self, talk: Talk, chance: random.Random, subject: bytes) -> None:
        one, other = chance.sample(self.MOVING, 2)
        verb = chance.choice((b"CREATE", b"DELETE", b"RENAME"))
        if talk.name == "courier" and chance.random() < 0.8:  # each DELETE and RENAME costs it two seconds
            verb = b"CREATE"
        if verb != b"RENAME":
            talk.command(b"%s %s" % (verb, quoted(one)))
        elif not other.startswith(one + b"."):
            talk.command(b"RENAME %s %s" % (quoted(one), quoted(other)))

    def _subscribe(self, talk: Talk, chance: random.Random, subject: bytes) -> None:
        talk.command(chance.choice((b"SUBSCRIBE ", b"UNSUBSCRIBE ")) + quoted(chance.choice(self.MOVING)))
