"""The C pop3d and ours on one Maildir in turns, with mail coming and IMAP at work: a message keeps its id.

A client that is told another id downloads the message again; one that is told an id twice misses a message.
"""

from __future__ import annotations

import os
import poplib
import random
import socket
import subprocess
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.peers.ours import Ours
from tests.peers.programs import UID, Account, Courier, Place
from tests.peers.test_turns import session

_POP3D = "/usr/lib/courier/courier/courierpop3d"
_STEPS = 40


class Pop3(poplib.POP3):
    """A session with a server that is run on a socket pair, and has logged in already."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(120)
        self.sock = connection
        self.file = connection.makefile("rb")
        self._debugging = 0
        self._tls_established = False
        self.welcome = self._getresp()
        assert self.welcome == b"+OK logged in."


@contextmanager
def popped(server: Courier | Ours, maildir: Path, log: Path):
    """A POP3 session of either server, ended by QUIT."""
    client, connection = socket.socketpair()
    with connection:
        if isinstance(server, Courier):
            process = server.cell.serve(connection, [_POP3D, maildir.name], log, maildir.parent)
        else:
            process = _ours(server, connection, maildir, log)
    try:
        pop = Pop3(client)
        yield pop
        assert pop.quit() == b"+OK Bye-bye."
    finally:
        with suppress(OSError):  # the server has closed it already
            client.shutdown(socket.SHUT_RDWR)
        client.close()
        process.wait(120)


def _ours(server: Ours, connection: socket.socket, maildir: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as stderr:
        return subprocess.Popen(
            [server.prefix / "bin/pop3d", maildir.name],
            stdin=connection, stdout=connection, stderr=stderr, cwd=maildir.parent, user=UID, group=UID,
            extra_groups=[], env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip


def subject(pop: Pop3, number: int) -> bytes:
    """The Subject of a message, by which the test knows it."""
    (line,) = [line for line in pop.top(number, 0)[1] if line.startswith(b"Subject: ")]
    return line


def ids(pop: Pop3) -> dict[bytes, bytes]:
    """The ids of all messages by subject."""
    listed = dict(line.split() for line in pop.uidl()[1])
    assert len(set(listed.values())) == len(listed)
    return {subject(pop, int(number)): uidl for number, uidl in listed.items()}


class Box:
    """One INBOX; `known` is every id that a client was told, by subject, also of messages that are gone.

    `spent` holds those of messages that have left INBOX and come back, which makes them new ones.
    """

    def __init__(self, place: Place, account: Account, courier: Courier, ours: Ours, chance: random.Random) -> None:
        self.place, self.account, self.chance = place, account, chance
        self.servers: tuple[Courier, Ours] = (courier, ours)
        self.maildir = place.maildir(account)
        self.log = place.path / f"{account.address}.pop3.log"
        self.known: dict[bytes, bytes] = {}
        self.spent: set[bytes] = set()
        self.count = 0

    def look(self, server: Courier | Ours) -> None:
        """See that every message has the id that it had, and a new one an id that none ever had."""
        with popped(server, self.maildir, self.log) as pop:
            self.compare(server, ids(pop))
        assert len(set(self.known.values())) == len(self.known)
        assert self.spent.isdisjoint(self.known.values())

    def compare(self, server: Courier | Ours, told: dict[bytes, bytes]) -> None:
        """See that these ids are those that were told before, or new."""
        for text, uidl in told.items():
            assert self.known.setdefault(text, uidl) == uidl, (server, text)

    def look_from_both(self) -> None:
        """One session goes on while mail comes, IMAP moves mail away, and the other server is asked."""
        first, second = self.chance.sample(self.servers, 2)
        with popped(first, self.maildir, self.log) as pop:
            before = pop.uidl()[1]
            self.compare(first, ids(pop))
            self.deliver()
            self.imap_move()
            self.look(second)
            assert pop.uidl()[1] == before
        self.look(first)

    def deliver(self) -> None:
        """A few messages, whose names are not in the order of their coming."""
        for _ in range(self.chance.randint(1, 3)):
            self.count += 1
            path = self.maildir / "new" / f"{1700000000 + self.chance.randrange(10**6)}.M{self.count}P1.host"
            path.write_bytes(b"Subject: n%d\n\nx\n" % self.count)
            os.chown(path, UID, UID)

    def pop_delete(self) -> None:
        """One of the servers removes some by POP3."""
        with popped(self.chance.choice(self.servers), self.maildir, self.log) as pop:
            count = pop.stat()[0]
            for number in self.chance.sample(range(1, count + 1), min(count, 2)):
                pop.dele(number)

    def imap_flags(self) -> None:
        """IMAP marks everything."""
        with session(self.chance.choice(self.servers), self.account) as imap:
            if int(imap.select("INBOX")[1][0] or b"0"):
                imap.store("1:*", self.chance.choice(("+FLAGS", "-FLAGS")), r"(\Flagged \Seen)")

    def imap_move(self) -> None:
        """IMAP moves one to another folder; it is a message of its own there."""
        with session(self.chance.choice(self.servers), self.account) as imap:
            imap.create("INBOX.Kept")
            if int(imap.select("INBOX")[1][0] or b"0"):
                imap.copy("1", "INBOX.Kept")
                imap.store("1", "+FLAGS", r"(\Deleted)")
                imap.expunge()

    def imap_move_back(self) -> None:
        """IMAP moves one to INBOX: that is another message now, with an id that none ever had."""
        with session(self.chance.choice(self.servers), self.account) as imap:
            imap.create("INBOX.Kept")
            if int(imap.select("INBOX.Kept")[1][0] or b"0"):
                header = imap.fetch("1", "(BODY.PEEK[HEADER.FIELDS (Subject)])")[1][0][1]
                imap.copy("1", "INBOX")
                imap.store("1", "+FLAGS", r"(\Deleted)")
                imap.expunge()
                self.spent |= {self.known.pop(header.strip())} if header.strip() in self.known else set()

    def imap_delete(self) -> None:
        """IMAP removes one for good."""
        with session(self.chance.choice(self.servers), self.account) as imap:
            if int(imap.select("INBOX")[1][0] or b"0"):
                imap.store("1", "+FLAGS", r"(\Deleted)")
                imap.expunge()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_message_keeps_its_id(
    seed: int, place: Place, courier: Courier, ours: Ours, fresh_account: Callable[[], Account]
) -> None:
    chance = random.Random(seed)
    box = Box(place, fresh_account(), courier, ours, chance)
    actions = (
        box.deliver, box.deliver, box.deliver, box.pop_delete, box.imap_flags, box.imap_move, box.imap_move_back,
        box.imap_delete, box.look_from_both,
    )  # fmt: skip
    for _ in range(_STEPS):
        chance.choice(actions)()
        for server in chance.sample(box.servers, chance.randint(1, 2)):
            box.look(server)
    assert len(box.known) + len(box.spent) > _STEPS / 2
    assert box.spent


def test_sizes_and_messages_are_the_same(
    place: Place, courier: Courier, ours: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poplib, "_MAXLINE", 1 << 20)
    account = place.accounts[0]
    told = []
    for server in (courier, ours, courier):
        with popped(server, place.maildir(account), place.path / "pop3.log") as pop:
            numbers = range(1, pop.stat()[0] + 1)
            told.append((pop.stat(), pop.list()[1], pop.uidl()[1], [pop.retr(number)[1] for number in numbers]))
    assert told[0] == told[2]
    assert told[0][:3] == told[1][:3]
    assert told[0][3] == told[1][3]
    assert len(told[0][3]) >= 40


def test_a_list_that_ours_made_is_the_c_servers(
    place: Place, courier: Courier, ours: Ours, fresh_account: Callable[[], Account]
) -> None:
    account = fresh_account()
    maildir = place.maildir(account)
    letters = {
        "1000.a": b"Subject: plain\n\nx\n",
        "999.b": "Subject: Grüße\n\nx\n".encode(),
        "1001.c": "Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nX: ü\n\nx\n--b--\n".encode(),
        "1001.b": "Subject: y\n\nGrüße\n".encode(),
    }
    for name, content in letters.items():
        (maildir / "cur" / f"{name}:2,").write_bytes(content)
    place.own_mail(maildir)
    lists = []
    for server in (ours, courier):
        (maildir / "courierpop3dsizelist").unlink(missing_ok=True)
        with popped(server, maildir, place.path / "pop3.log"):
            content = (maildir / "courierpop3dsizelist").read_text()
        validity = content.split("\n")[0].split()[2]
        lists.append(content.replace(validity, "NOW"))
    assert lists[0] == lists[1]
