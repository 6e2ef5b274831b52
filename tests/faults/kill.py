"""kill -9 of imapd under load: writers on one maildir, each killed at a call by chance and followed by another.

    python -m tests.faults.kill [--points 1000] [--seed 1] [--peers]

After every few deaths the maildir is held against what was acknowledged: no message is lost, no uid means two messages,
no flag or folder that was promised is missing, every file can be read.  With --peers the C Courier-IMAP reads the
maildir at the end and must see the same.
"""

from __future__ import annotations

import argparse
import os
import random
import selectors
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from couriertcpd import environ
from maildir import keywordlist, lock, names, uidlist
from maildir.account import Account
from maildir.folder import Folder
from maildir.keywords import Keywords
from tests.answers import Response
from tests.clientview import ClientView, Violation
from tests.faults import original
from tests.faults.trap import TEAR, Trap
from tests.forked import Ended, Forked, check_log

WRITERS = 4
KILLS_A_ROUND = 12
MAX_CALLS = 8000  # a writer dies within so many file-system calls
CROWDED = 120  # so many messages, and more are deleted than made
DEAD_LOCK_PAUSE = 0.02
SETTINGS = {"IMAP_KEYWORDS": "1"}

# What each writer alone changes, so that what it was told last is so.
OWN_FLAGS = ((b"\\Seen", b"w0"), (b"\\Flagged", b"w1"), (b"\\Answered", b"w2"), (b"\\Draft", b"w3"))
BITS = {b"\\Seen": names.SEEN, b"\\Flagged": names.FLAGGED, b"\\Answered": names.ANSWERED, b"\\Draft": names.DRAFT}

INBOX, KEPT = b"INBOX", b"INBOX.kept"


class Mailbox:
    """What is known of one mailbox: told to some client, or found after a death."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.uidvalidity = 0
        self.tokens: dict[int, bytes] = {}  # by uid, for ever
        self.doomed: set[int] = set()  # somebody wanted them deleted
        self.gone: set[int] = set()
        self.flags: dict[tuple[int, bytes], bool] = {}  # acknowledged, and nobody has touched it since
        self.unfinished: Counter[bytes] = Counter()  # tokens that somebody was storing when killed

    def stored(self, uidvalidity: int, uid: int, token: bytes) -> None:
        """An answer, or a look, says that this uid is this message."""
        if self.uidvalidity not in (0, uidvalidity):
            raise Violation(f"{self.path!r}: uidvalidity {self.uidvalidity}, then {uidvalidity}")
        self.uidvalidity = uidvalidity
        if self.tokens.setdefault(uid, token) != token:
            raise Violation(f"{self.path!r}: uid {uid} was {self.tokens[uid]!r}, now it is {token!r}")

    @property
    def doomed_tokens(self) -> set[bytes]:
        r"""What may be \Deleted, and its copies with it."""
        return {self.tokens[uid] for uid in self.doomed if uid in self.tokens}

    def went(self, uid: int) -> None:
        """A client was told that this message is expunged."""
        if uid in self.tokens and uid not in self.doomed:
            raise Violation(f"{self.path!r}: uid {uid} is gone, and nobody deleted it")
        self.doomed.add(uid)
        self.gone.add(uid)

    def check(self) -> None:
        """Hold the folder against it, with nobody at work."""
        self._check_files()
        folder = Folder(self.path)
        snapshot = folder.scan()
        if list(snapshot.uids) != sorted(set(snapshot.uids)):
            raise Violation(f"{self.path!r}: uids {list(snapshot.uids)}")
        found = {}
        for uid, name in zip(snapshot.uids, snapshot.names, strict=True):
            fd, _ = folder.open_message(name)
            with open(fd, "rb") as file:
                found[uid] = token_of(file.read())
        for uid, token in found.items():
            if uid not in self.tokens:
                if not self.unfinished[token]:
                    raise Violation(f"{self.path!r}: nobody stored {token!r} as uid {uid}")
                self.unfinished[token] -= 1
                if token in self.doomed_tokens:
                    self.doomed.add(uid)
            self.stored(snapshot.uidvalidity, uid, token)
        lost = self.tokens.keys() - found.keys() - self.doomed
        back = self.gone & found.keys()
        if lost or back or snapshot.uidnext <= max(self.tokens, default=0):
            raise Violation(f"{self.path!r}: lost {lost}, risen {back}, next uid {snapshot.uidnext}")
        self.unfinished.clear()
        self._check_flags(dict(zip(snapshot.uids, snapshot.names, strict=True)))

    def _check_files(self) -> None:
        try:
            with open(self.path + b"/" + uidlist.FILE, "rb") as file:
                listed = uidlist.parse(file.read())
            if listed is None or listed.fault:
                raise Violation(f"{self.path!r}: the uid list: {listed.fault if listed else 'line 1'}")
            with open(self.path + b"/courierimapkeywords/:list", "rb") as file:
                fault = keywordlist.parse_list(file.read())[1]
            if fault:
                raise Violation(f"{self.path!r}: the keywords: {fault}")
        except FileNotFoundError:
            return  # nothing has needed it yet

    def _check_flags(self, there: dict[int, bytes]) -> None:
        keywords = Keywords(self.path).read({names.base(name) for name in there.values()})
        for (uid, flag), value in self.flags.items():
            if uid not in there:
                continue
            if flag in BITS:
                found = bool(names.flags_of(there[uid]) & BITS[flag])
            else:
                found = flag in keywords.get(names.base(there[uid]), ())
            if found != value:
                raise Violation(f"{self.path!r}: uid {uid} has {flag!r}: {found}; acknowledged was {value}")


def token_of(message: bytes) -> bytes:
    """What tells the message from all others; a torn one has none."""
    first, _, rest = message.partition(b"\n")
    token = first.removeprefix(b"Subject: ")
    if token == first or not rest.endswith(token + b"\n"):
        raise Violation(f"not a whole message: {message!r}")
    return token


class Writer:
    """One client after the other; each has an imapd that will die."""

    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.number = number
        self.chance = load.chance
        self.deleting: list[int] = []  # marked by this client, to be expunged next
        self.begin()

    def begin(self) -> None:
        """Start an imapd, and set its end."""
        self.trap = Trap(DEAD_LOCK_PAUSE)
        self.imapd = Forked(self.load.maildir, self.load.log, SETTINGS, [self.trap.install])
        self.client = self.imapd.client
        self.view = ClientView()
        self.deleting.clear()
        self.answer: list[Response] = []
        self.trap.arm(TEAR, self.chance.randrange(1, MAX_CALLS))
        self.send(b"SELECT INBOX")

    def send(self, *parts: bytes, kind: str = "", about: object = None) -> None:
        """Send a command; kind and about are for the answer."""
        self.kind, self.about, self.sent = kind, about, parts
        self.answer.clear()
        self.client.send(*parts)

    def receive(self) -> bool:
        """Take what has come, and send the next command when that was all; False when the server died."""
        try:
            responses = self.client.receive()
        except Ended:
            self.died()
            return False
        for response in responses:
            self.answer.append(response)
            if response.is_tagged:
                self.completed(response)
                self.load.commands += 1
                self.next_command()
            else:
                self.view.hear(response, self.sent[0])
        return True

    def died(self) -> None:
        """Reap the child; what it was asked to do may be done or not."""
        status = self.imapd.end()
        if status != -9:
            raise Violation(f"imapd ended with {status}")
        if self.kind == "append":
            mailbox, token = self.about  # type: ignore[misc]
            self.load.mailboxes[mailbox].unfinished[token] += 1
        elif self.kind == "copy":
            mailbox, uids = self.about  # type: ignore[misc]
            self.load.mailboxes[mailbox].unfinished.update(self.load.inbox.tokens[uid] for uid in uids)

    def completed(self, tagged: Response) -> None:
        """What an answer makes certain."""
        load, inbox = self.load, self.load.inbox
        for known in self.view.gone:
            if known.uid is not None:
                inbox.went(known.uid)
        self.view.gone.clear()
        if tagged.kind != b"OK":
            if tagged.code != b"EXPUNGEISSUED" or not inbox.doomed:
                raise Violation(f"{self.sent!r}: {tagged}")
            return
        if self.kind == "append":
            mailbox, token = self.about  # type: ignore[misc]
            _, uidvalidity, uid = tagged.code.split()
            load.mailboxes[mailbox].stored(int(uidvalidity), int(uid), token)
        elif self.kind == "copy":
            mailbox, uids = self.about  # type: ignore[misc]
            _, uidvalidity, source, target = tagged.code.split()
            if numbers(source) != uids:
                raise Violation(f"{self.sent!r}: {tagged}")
            for uid, copy in zip(uids, numbers(target), strict=True):
                load.mailboxes[mailbox].stored(int(uidvalidity), copy, inbox.tokens[uid])
                if uid in inbox.doomed:
                    load.mailboxes[mailbox].doomed.add(copy)
        elif self.kind == "store":
            uids, flags, value = self.about  # type: ignore[misc]
            inbox.flags.update({(uid, flag): value for uid in uids for flag in flags})
        elif self.kind == "create":
            load.created.add(self.about)  # type: ignore[arg-type]
        elif self.kind == "subscribe":
            load.subscribed.add(self.about)  # type: ignore[arg-type]

    def next_command(self) -> None:
        """Choose what to do."""
        unknown = [number for number, uid in enumerate(self.view.uids, 1) if uid is None]
        if unknown:
            self.send(b"FETCH %d:* (UID FLAGS)" % unknown[0])
            return
        if self.deleting:
            self.send(b"UID EXPUNGE %d" % self.deleting.pop() if self.chance.random() < 0.5 else b"EXPUNGE")
            self.deleting.clear()
            return
        # What is not in the model yet was stored by somebody whose answer has not come, or never will.
        uids = [uid for uid in self.view.uids if uid in self.load.inbox.tokens]
        actions = [self.append] * 3 + [self.store, self.copy, self.create, self.noop] + [self.delete] * 2
        if len(uids) > CROWDED:
            actions += [self.delete] * 20
        self.chance.choice(actions if len(uids) > 5 else [self.append])(uids)

    def append(self, uids: list[int]) -> None:
        self.load.count += 1
        token = b"token%d" % self.load.count
        mailbox = self.chance.choice((INBOX, INBOX, KEPT))
        filling = b"x" * self.chance.randrange(3000)
        message = b"Subject: %s\r\n\r\n%s\r\n%s\r\n" % (token, filling, token)
        words = b" ".join(self.chance.sample((b"\\Seen", b"k1", b"k2"), self.chance.randrange(3)))
        self.send(b"APPEND %s (%s) " % (mailbox, words), message, kind="append", about=(mailbox, token))

    def chosen(self, uids: list[int]) -> list[int]:
        return sorted(self.chance.sample(uids, self.chance.randrange(1, 4)))

    def store(self, uids: list[int]) -> None:
        chosen, value = self.chosen(uids), self.chance.random() < 0.6
        flags = self.chance.choice((OWN_FLAGS[self.number], OWN_FLAGS[self.number][:1]))
        for uid in chosen:
            for flag in flags:
                self.load.inbox.flags.pop((uid, flag), None)
        operation = b"+FLAGS" if value else b"-FLAGS"
        command = b"UID STORE %s %s (%s)" % (joined(chosen), operation, b" ".join(flags))
        self.send(command, kind="store", about=(chosen, flags, value))

    def copy(self, uids: list[int]) -> None:
        chosen, mailbox = self.chosen(uids), self.chance.choice((INBOX, KEPT))
        self.send(b"UID COPY %s %s" % (joined(chosen), mailbox), kind="copy", about=(mailbox, chosen))

    def delete(self, uids: list[int]) -> None:
        self.deleting = self.chosen(uids)
        self.load.inbox.doomed.update(self.deleting)
        self.send(b"UID STORE %s +FLAGS.SILENT (\\Deleted)" % joined(self.deleting))

    def create(self, uids: list[int]) -> None:
        self.load.count += 1
        name = b"INBOX.made%d" % self.load.count
        if self.load.count % 2:
            self.send(b"CREATE " + name, kind="create", about=name)
        else:
            self.send(b"SUBSCRIBE " + name, kind="subscribe", about=name)

    def noop(self, uids: list[int]) -> None:
        self.send(b"NOOP")


def joined(uids: list[int]) -> bytes:
    """As a sequence set."""
    return b",".join(b"%d" % uid for uid in uids)


def numbers(uids: bytes) -> list[int]:
    """The numbers of a sequence set."""
    ranges = [part.partition(b":") for part in uids.split(b",")]
    return [uid for low, _, high in ranges for uid in range(int(low), int(high or low) + 1)]


class Load:
    """The maildir, the writers, and what is known."""

    def __init__(self, place: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.maildir = place / "Maildir"
        self.log = place / "log"
        for part in ("cur", "new", "tmp"):
            (self.maildir / part).mkdir(parents=True)
        self.path = os.fsencode(self.maildir)
        Account(self.path).create(b".kept")
        self.mailboxes = {INBOX: Mailbox(self.path), KEPT: Mailbox(self.path + b"/.kept")}
        self.inbox = self.mailboxes[INBOX]
        self.created: set[bytes] = set()
        self.subscribed: set[bytes] = set()
        self.count = self.kills = self.commands = 0

    def round(self, kills: int) -> None:
        """Writers at work until so many have been killed, then a look at everything."""
        end = self.kills + kills
        writers = [Writer(self, number) for number in range(WRITERS)]
        with selectors.DefaultSelector() as selector:
            for writer in writers:
                selector.register(writer.client.connection, selectors.EVENT_READ, writer)
            while self.kills < end or selector.get_map():
                for key, _ in selector.select(timeout=120) or _stuck():
                    # The others die in their turn, so that nobody is left in the middle of something.
                    connection, writer = key.fileobj, key.data
                    if not writer.receive():
                        self.kills += 1
                        selector.unregister(connection)
                        if self.kills + len(selector.get_map()) < end:
                            writer.begin()
                            selector.register(writer.client.connection, selectors.EVENT_READ, writer)
        self.check()

    def check(self) -> None:
        """Hold all that is there against what was acknowledged."""
        check_log(self.log)
        for mailbox in self.mailboxes.values():
            mailbox.check()
        account = Account(self.path)
        missing = {b"." + name.removeprefix(b"INBOX.") for name in self.created} - set(account.folders())
        if missing:
            raise Violation(f"created, and not there: {missing}")
        for folder in account.folders():
            Folder(account.path(folder)).scan()
        missing = self.subscribed - set(account.subscriptions())
        if missing:
            raise Violation(f"subscribed, and not on the list: {missing}")


def _stuck() -> list[tuple[selectors.SelectorKey, int]]:
    raise Violation("nobody answers")


def run(points: int, seed: int, place: Path, told: float | None = None) -> Load:
    """Kill so many; told: seconds between lines of progress."""
    lock.PAUSE_SECONDS = DEAD_LOCK_PAUSE  # the looks at what is left meet dead locks too
    load = Load(place, seed)
    next_line = time.monotonic() + (told or 0)
    try:
        while load.kills < points:
            load.round(min(KILLS_A_ROUND, max(points - load.kills, WRITERS)))
            if told and time.monotonic() > next_line:
                next_line += told
                print(f"{load.kills} kills, {load.commands} commands", flush=True)
    except Violation as violation:
        raise Violation(f"seed {seed}, {load.kills} kills: {violation}") from None
    return load


def main(argv: list[str]) -> int:
    """Run it from a shell."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill", description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1000, help="how many processes to kill (1000)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30), help="to have a run again")
    parser.add_argument("--peers", action="store_true", help="let the C Courier-IMAP read the maildir at the end")
    chosen = parser.parse_args(argv[1:])
    print(f"seed {chosen.seed}", flush=True)
    environ.put("IMAP_INDEX", "off")  # no index is open in this process when children are forked
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        load = run(chosen.points, chosen.seed, Path(directory), told=5)
        seconds = time.monotonic() - began
        stored = sum(len(mailbox.tokens) for mailbox in load.mailboxes.values())
        print(f"{load.kills} kills, {load.commands} commands, {stored} messages stored, {seconds:.0f} s: all is there")
        if chosen.peers:
            count = original.agrees(load.maildir, load.log, (INBOX, KEPT))
            print(f"the C Courier-IMAP sees the same {count} messages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
