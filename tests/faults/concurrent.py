"""Many sessions change one mailbox at random, and every answer that any of them gets is held against what it may say.

    python -m tests.faults.concurrent [--seconds 60] [--sessions 20] [--seed 1] [--deliver] [--peers 3]

Each session is an imapd of its own; one process drives them all, so that what is sent and heard has an order.  With
--deliver mail arrives in new/ meanwhile, with --peers the C Courier-IMAP serves so many more clients.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import selectors
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path

from couriertcpd import environ
from maildir import listing, lock, names
from maildir.folder import Folder
from maildir.keywords import Keywords
from tests.clientview import Violation
from tests.faults import original
from tests.faults.foreign import Foreign
from tests.faults.letters import WORDS, message_of, token_on_disk
from tests.faults.sessions import Session
from tests.faults.truth import Truth
from tests.forked import Forked, check_log
from tests.peers.programs import UID, Place

SETTINGS = {"IMAP_KEYWORDS": "1", "IMAP_IDLE_TIMEOUT": "1"}
PATIENCE = 120  # seconds without any answer
TRACE = 20_000  # how much of what was sent and heard is kept for a report


def settle_quickly() -> None:
    """In an imapd: trust the times of files after 20 ms, which the clocks of local file systems allow."""
    listing.SETTLED_NS = 20_000_000


def be_elsewhere() -> None:
    """In an imapd: the C server is in another process namespace, so neither may look for the other's processes."""
    lock._host = lambda: b"elsewhere.example"


class Bazaar:
    """The mailbox, its sessions and the truth about it."""

    def __init__(self, place: Path, seed: int, deliver: bool = False, home: Path | None = None) -> None:
        self.chance = random.Random(seed)
        self.seed = seed
        self.log = place / "log"
        self.maildir = (home or place) / "Maildir"
        self.identity = UID if home else None
        for part in ("cur", "new", "tmp"):
            (self.maildir / part).mkdir(parents=True, exist_ok=True)
        self.log.touch()
        self.truth = Truth(peers=home is not None)
        self.deliver = deliver
        self.delivered: set[bytes] = set()
        self.sessions: list[Session] = []
        self.count = 0
        self.done: Counter[str] = Counter()  # commands by what they are
        self.trace: deque[str] = deque(maxlen=TRACE)
        self.over = False

    def note(self, who: object, what: bytes) -> None:
        """Remember something sent or heard; the time goes on."""
        self.trace.append(f"{self.truth.tick()} {who} {what[:300]!r}")

    def new_token(self) -> bytes:
        """What tells the next message from all others."""
        self.count += 1
        token = b"x%dx" % self.count
        self.truth.issue(token)
        return token

    def begin(self, sessions: int) -> None:
        """Start so many imapds."""
        for number in range(sessions):
            prepare = [settle_quickly] if number % 2 else []
            if self.identity is not None:
                prepare.append(be_elsewhere)
            imapd = Forked(self.maildir, self.log, SETTINGS, prepare, self.identity)
            self.sessions.append(Session(self, f"s{number}", imapd.client, imapd))

    def run(self, enough: Callable[[], bool]) -> None:
        """Let them do what they like until it is enough, then look whether all agree."""
        with selectors.DefaultSelector() as selector:
            for session in self.sessions:
                selector.register(session.client.connection, selectors.EVENT_READ, session)
                session.begin()
            while any(session.busy for session in self.sessions):
                self.over = enough()
                ready = selector.select(timeout=PATIENCE)
                if not ready:
                    raise Violation(f"no answer for: {[s.sent for s in self.sessions if s.busy]}")
                for key, _ in ready:
                    key.data.receive()
                if self.deliver and not self.over and self.chance.random() < 0.02:
                    self.deliver_one()
                self._wake_idle()
        self.agree()

    def _wake_idle(self) -> None:
        """Those who idle go on after a while, by the number of things that happened since."""
        for session in self.sessions:
            if session.idle_until and (self.over or self.truth.clock > session.idle_until):
                session.end_idle()

    def deliver_one(self) -> None:
        """Be a delivery agent."""
        token = self.new_token()
        name = names.temporary(b"delivery%d" % self.count)
        path = os.fsencode(self.maildir)
        with open(path + b"/tmp/" + name, "wb") as file:
            file.write(message_of(token, self.chance.randrange(2000)).replace(b"\r\n", b"\n"))
        if self.identity is not None:
            os.chown(path + b"/tmp/" + name, self.identity, self.identity)
        os.rename(path + b"/tmp/" + name, path + b"/new/" + name)
        self.note("delivery", token)
        self.delivered.add(token)

    def agree(self) -> None:
        """With nobody at work: all sessions know the same, and it is what is on the disk."""
        for session in self.sessions:
            session.at_rest(b"NOOP")
        seen = [session.everything() for session in self.sessions]
        folder = Folder(os.fsencode(self.maildir))
        snapshot = folder.scan()
        keywords = Keywords(folder.path).read({names.base(name) for name in snapshot.names})
        there, tokens = {}, {}
        for uid, name in zip(snapshot.uids, snapshot.names, strict=True):
            words = {word for bit, word in WORDS.items() if isinstance(bit, int) and names.flags_of(name) & bit}
            there[uid] = frozenset(words | keywords.get(names.base(name), frozenset()))
            fd, _ = folder.open_message(name)
            with open(fd, "rb") as file:
                tokens[uid] = token_on_disk(file.read())
        for session, known in zip(self.sessions, seen, strict=True):
            if known != there:
                raise Violation(f"{session.name} knows {_difference(known, there)}")
        for uid, token in tokens.items():
            self.truth.is_message(uid, token)
        self.truth.check_view(set(there), self.truth.clock)
        self._check_nothing_lost(set(there), set(tokens.values()))

    def _check_nothing_lost(self, uids: set[int], there: set[bytes]) -> None:
        """Also of mail that was delivered, and mail that another server has given a new uid."""
        known = self.truth.tokens
        expunged = {token for uid, token in known.items() if self.truth.removable(uid)}
        lost = set(known.values()) - expunged - there
        # Who expunges what nobody has read takes its name along.
        unread = self.delivered - set(known.values()) - there
        nameless = self.truth.told - known.keys() - uids
        if lost or len(unread) > len(nameless):
            raise Violation(f"lost: {lost or unread}")

    def end(self) -> None:
        """End every imapd; none may have fallen over anything."""
        for session in self.sessions:
            session.end()
        check_log(self.log)

    def report(self, violation: BaseException) -> Violation:
        """The violation with what led to it, in a file."""
        path = Path(tempfile.gettempdir()) / f"courier-imap-trace.{self.seed}"
        path.write_text("\n".join(self.trace) + "\n")
        log = "\n".join(line for line in self.log.read_text().splitlines() if not line.startswith("INFO:"))
        return Violation(f"seed {self.seed}: {violation}\nwhat was sent and heard: {path}\n{log[-2000:]}")


def _difference(one: dict[int, frozenset[bytes]], other: dict[int, frozenset[bytes]]) -> str:
    uids = sorted(uid for uid in one.keys() | other.keys() if one.get(uid) != other.get(uid))
    return "; ".join(f"uid {uid}: {one.get(uid)}, the disk {other.get(uid)}" for uid in uids)


@contextlib.contextmanager
def bazaar(place: Path, seed: int, sessions: int, deliver: bool = False, peers: int = 0) -> Iterator[Bazaar]:
    """A mailbox and its sessions, ready to run; raises Missing when there shall be peers and there can be none."""
    with contextlib.ExitStack() as stack:
        home = courier = None
        if peers:
            homes = Place([original.PERSON])
            stack.callback(homes.remove)
            home = homes.home(original.PERSON)
            courier = stack.enter_context(original.serving(homes))
        mailbox = Bazaar(place, seed, deliver, home)
        try:
            mailbox.begin(sessions)
            for number in range(peers):
                mailbox.sessions.append(Foreign(mailbox, f"c{number}", original.logged_in(courier)))
            yield mailbox
            mailbox.end()
        except AssertionError as violation:
            raise mailbox.report(violation) from None
        finally:
            for session in mailbox.sessions:
                session.kill()


def main(argv: list[str]) -> int:
    """Run it from a shell."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.concurrent", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="for how long (60)")
    parser.add_argument("--sessions", type=int, default=20, help="how many (20)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30), help="to choose the same again")
    parser.add_argument("--deliver", action="store_true", help="with a delivery agent")
    parser.add_argument("--peers", type=int, default=0, help="so many clients of the C Courier-IMAP beside them")
    chosen = parser.parse_args(argv[1:])
    print(f"seed {chosen.seed}", flush=True)
    environ.put("IMAP_INDEX", "off")  # no index is open in this process when children are forked
    with (
        tempfile.TemporaryDirectory() as directory,
        bazaar(Path(directory), chosen.seed, chosen.sessions, chosen.deliver, chosen.peers) as mailbox,
    ):
        end = time.monotonic() + chosen.seconds
        mailbox.run(lambda: time.monotonic() > end)
        told = ", ".join(f"{count} {what}" for what, count in mailbox.done.most_common())
        print(f"{mailbox.done.total()} commands: {told}")
        print(f"{mailbox.count} messages made, {len(mailbox.truth.gone)} expunged; no violation")
        if mailbox.truth.recent_twice:
            print(f"recent to two sessions: {len(mailbox.truth.recent_twice)}")
        if mailbox.truth.renumbered:
            print(f"given a new uid by the other server: {len(mailbox.truth.renumbered)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
