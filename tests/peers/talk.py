"""Sessions with either server on one maildir, without the chain before them, and what a session sees of the account."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count

from tests.answers import Response
from tests.forked import Client, Ended, Forked, check_log
from tests.peers.programs import UID, Account, Courier, Place

SERVERS = ("courier", "ours")
KEYWORDS = (b"$Forwarded", b"Junk", b"work", b"k1")
END_SECONDS = 120
SYSTEM = (b"\\Draft", b"\\Flagged", b"\\Answered", b"\\Seen", b"\\Deleted")

Messages = dict[int, tuple[frozenset[bytes], bytes]]  # flags and keywords, and subject, by uid


class Refused(AssertionError):
    """The server did not say OK."""


class Differ(AssertionError):
    """The two servers tell different things, or what must not be."""


class Mailbox:
    """What SELECT and FETCH tell of one mailbox, but not what is told to one session alone."""

    def __init__(self, uidvalidity: int, uidnext: int, messages: Messages, shapes: dict[int, tuple[bytes, bytes]]):
        self.uidvalidity = uidvalidity
        self.uidnext = uidnext
        self.messages = messages
        self.shapes = shapes  # size and date by uid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mailbox) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return self.uidvalidity

    def __repr__(self) -> str:
        return repr(vars(self))


class Sight:
    """What a session sees of a whole account."""

    def __init__(self, listed: list[bytes], subscribed: list[bytes], mailboxes: dict[bytes, Mailbox]) -> None:
        self.listed = listed
        self.subscribed = subscribed
        self.mailboxes = mailboxes

    def differences(self, other: Sight) -> list[str]:
        """Where two differ, for people."""
        told = []
        if self.listed != other.listed:
            told.append(f"LIST: {self.listed} and {other.listed}")
        if self.subscribed != other.subscribed:
            told.append(f"LSUB: {self.subscribed} and {other.subscribed}")
        for name in sorted(self.mailboxes.keys() | other.mailboxes.keys()):
            one, two = self.mailboxes.get(name), other.mailboxes.get(name)
            if one != two:
                told.append(f"{name!r}: {one} and {two}")
        return told


class Talk:
    """A session with one of the two servers; commands raise Refused unless the answer is OK."""

    def __init__(self, name: str, client: Client, forked: Forked | None, popen: subprocess.Popen[bytes] | None) -> None:
        self.name = name
        self.client = client
        self._forked = forked
        self._popen = popen

    def command(self, *parts: bytes) -> list[Response]:
        """One command; every second part is a literal, which waits for the server's leave, as the original wants it."""
        answer: list[Response] = []
        if len(parts) == 1:
            answer = self.client.command(*parts)
        else:
            tag = self.client.send(b"%s{%d}" % (parts[0], len(parts[1])))
            if self._until_tagged(answer).tag == b"+":
                self.client.connection.sendall(parts[1] + b"\r\n")
                assert self._until_tagged(answer).tag == tag
        if answer[-1].kind != b"OK":
            raise Refused(f"{self.name}: {parts[0]!r}: {answer[-1]!r}")
        return answer

    def _until_tagged(self, answer: list[Response]) -> Response:
        answer.append(self.client.next_response())
        while answer[-1].tag == b"*":
            answer.append(self.client.next_response())
        return answer[-1]

    def select(self, mailbox: bytes) -> list[Response]:
        """Select; not EXAMINE, in which the original keeps no uid list: a new mailbox had a uidvalidity each second."""
        return self.command(b"SELECT " + quoted(mailbox))

    def contents(self, mailbox: bytes) -> Mailbox:
        r"""All of one mailbox. \Recent belongs to one session; PERMANENTFLAGS is worded differently: both left out."""
        codes = dict(response.code.split(b" ", 1) for response in self.select(mailbox) if b" " in response.code)
        told = self.command(b"STATUS %s (UIDNEXT)" % quoted(mailbox))[0].raw  # the original's SELECT has no UIDNEXT
        found = re.search(rb"UIDNEXT (\d+)", told)
        assert found is not None, told
        items = b"(UID FLAGS RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER.FIELDS (SUBJECT)])"
        messages: Messages = {}
        shapes = {}
        for response in self.command(b"UID FETCH 1:* " + items):
            if response.uid is not None and b"RFC822.SIZE" in response.items:
                flags = response.flags
                assert flags is not None
                subject = next(response.octets(name) for name in response.items if name.startswith(b"BODY["))
                messages[response.uid] = flags - {b"\\Recent"}, subject.strip().removeprefix(b"Subject: ")
                shapes[response.uid] = response.octets(b"RFC822.SIZE"), response.octets(b"INTERNALDATE")
        return Mailbox(int(codes[b"UIDVALIDITY"]), int(found[1]), messages, shapes)

    def names(self) -> list[bytes]:
        """The mailboxes that can be selected."""
        return [_mailbox_of(line) for line in self._lines(b"LIST") if b"\\Noselect" not in line]

    def _lines(self, command: bytes) -> list[bytes]:
        """What LIST or LSUB answers, without \\Marked: each server has its own idea of when to look.

        The original takes INBOX for a parent of all others, and tells it as \\Noselect where LSUB does not list it.
        """
        answer = self.command(command + b' "" "*"')[:-1]
        return sorted(re.sub(rb"\\(Unm|M)arked ", b"", response.raw) for response in answer)

    def look(self) -> Sight:
        """Everything; INBOX is selected afterwards, so that nobody keeps others from renaming what is open."""
        mailboxes = {name: self.contents(name) for name in self.names()}
        sight = Sight(self._lines(b"LIST"), self._lines(b"LSUB"), mailboxes)
        self.select(b"INBOX")
        return sight

    def close(self) -> None:
        """Log out and wait for the process to end."""
        with suppress(Refused, Ended, OSError):
            self.command(b"LOGOUT")
        self.client.connection.close()
        if self._forked is not None:
            self._forked.end()
        if self._popen is not None:
            try:
                self._popen.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()


def _mailbox_of(line: bytes) -> bytes:
    return line.rstrip().rpartition(b' "." ')[2].strip(b'"')


class Site:
    """One account and both servers for it; sessions that are still open at the end are closed."""

    def __init__(
        self, place: Place, account: Account, courier: Courier, prepare: Iterable[Callable[[], None]] = ()
    ) -> None:
        self.place = place
        self._prepare = tuple(prepare)  # in each imapd of ours, before it runs
        self.home = place.home(account)
        self.maildir = place.maildir(account)
        self.log = place.path / f"{account.address}.log"
        self._courier = courier
        self._open: list[Talk] = []
        self._deliveries = count(1)
        place.own_mail(self.home)

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        for talk in self._open:
            talk.close()
        if self.log.exists():
            check_log(self.log)

    def open(self, name: str) -> Talk:
        """A session with "courier" or "ours"."""
        talk = self._theirs() if name == "courier" else self._ours()
        self._open.append(talk)
        return talk

    def reopen(self, talk: Talk) -> Talk:
        """A new session in the place of one that is closed now."""
        self._open.remove(talk)
        talk.close()
        return self.open(talk.name)

    def _theirs(self) -> Talk:
        here, there = socket.socketpair()
        with there:
            popen = self._courier.cell.serve(there, [Courier.IMAPD, "./Maildir"], self.log, self.home)
        client = Client(here)
        assert client.next_response().kind == b"PREAUTH", self.log.read_text()
        return Talk("courier", client, None, popen)

    def _ours(self) -> Talk:
        forked = Forked(self.maildir, self.log, {"IMAP_KEYWORDS": "1"}, self._prepare, identity=UID)
        return Talk("ours", forked.client, forked, None)

    def wait(self, seconds: float) -> None:
        """The passing of time is what is waited for."""
        time.sleep(seconds)

    def deliver(self, folder_name: bytes, subject: bytes) -> None:
        """What a delivery agent does; folder_name is that on the disk."""
        number = next(self._deliveries)
        folder = os.fsencode(self.maildir) + b"/" + folder_name
        name = b"%d.M%06dP77.mx.example" % (1_790_000_000 + number % 7, number)
        temporary = folder + b"/tmp/" + name
        with open(temporary, "wb") as file:
            file.write(letter(subject).replace(b"\r\n", b"\n"))
        if os.geteuid() == 0:
            os.chown(temporary, UID, UID)
        os.rename(temporary, folder + b"/new/" + name)


def quoted(mailbox: bytes) -> bytes:
    """A mailbox as an argument of a command."""
    return b'"%s"' % mailbox


def letter(subject: bytes) -> bytes:
    """A message as it is sent to APPEND."""
    return b"Subject: %s\r\nFrom: kim@example.com\r\n\r\nbody of %s\r\n" % (subject, subject)


def uid_set(uids: Iterable[int]) -> bytes:
    """A message set."""
    return b",".join(b"%d" % uid for uid in uids)
