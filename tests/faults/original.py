"""The C Courier-IMAP on the maildirs of these tests; raises Missing where it cannot be had."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.clientview import Violation
from tests.forked import Client, Forked
from tests.peers.programs import Account, Courier, Place

PERSON = Account("kim@example.com")
SETTINGS = {"IMAP_KEYWORDS": "1"}


@contextlib.contextmanager
def serving(place: Place) -> Iterator[Courier]:
    """The C server on the homes of the place."""
    with Courier(place) as courier:
        yield courier


def logged_in(courier: Courier) -> Client:
    """A client of the C server."""
    client = Client(socket.create_connection(("127.0.0.1", courier.port)))
    greeting = client.next_response()
    assert greeting.kind == b"OK", greeting
    answer = client.command(f"LOGIN {PERSON.address} {PERSON.password}".encode())
    assert answer[-1].kind == b"OK", answer
    return client


def agrees(maildir: Path, log: Path, mailboxes: Sequence[bytes]) -> int:
    """Let it read a copy of a maildir: uids, flags and keywords must be ours; returns how many messages that were."""
    with Forked(maildir, log, SETTINGS) as imapd:
        ours = {name: flags_by_uid(imapd.client, name) for name in mailboxes}
    place = Place([PERSON])
    try:
        shutil.rmtree(place.maildir(PERSON))
        shutil.copytree(maildir, place.homes / PERSON.address / "Maildir")
        place.own_mail(place.home(PERSON))
        with serving(place) as courier:
            client = logged_in(courier)
            for name in mailboxes:
                theirs = flags_by_uid(client, name)
                if theirs != ours[name]:
                    raise Violation(f"{name!r}: the C Courier-IMAP sees {theirs}, ours {ours[name]}")
            client.connection.close()
    finally:
        place.remove()
    return sum(map(len, ours.values()))


def flags_by_uid(client: Client, mailbox: bytes) -> dict[int, frozenset[bytes]]:
    """What a session tells of a mailbox."""
    opened = client.command(b"SELECT " + mailbox)
    assert opened[-1].kind == b"OK", opened
    answer = client.command(b"UID FETCH 1:* (FLAGS)")
    assert answer[-1].kind == b"OK", answer
    return {one.uid: (one.flags or frozenset()) - {b"\\Recent"} for one in answer if one.uid is not None}
