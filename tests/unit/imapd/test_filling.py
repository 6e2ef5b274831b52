"""Filling the index while the client is silent."""

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imapd import filling, registry, serve
from imapd.commands import fetch
from imapd.session import Session
from imapd.view import View
from imapd.wire.lexer import Arguments
from maildir.account import Account
from maildir.folder import Folder

COUNT = 300


class Room:
    """A folder of many messages, sessions in it, and a client that says nothing until it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source, self.client = os.pipe()
        self.driver = serve.Driver(self.source, self.client)
        self.calls = 0
        self.session = self.another()

    def another(self) -> Session:
        session = Session(Account(os.fsencode(self.path)), "sam", registry.FETCH_ITEMS, registry.STATUS_ITEMS)
        folder = Folder(os.fsencode(self.path))
        session.view = View(b"INBOX", b".", folder, folder.scan(), read_only=False)
        return session

    def fetch(self, what: bytes) -> bytes:
        return b"".join(fetch.fetch(self.session, *fetch.parse(Arguments(b" " + what))))

    def silence(self, until: Callable[[float | None], bool] = lambda later: later is None) -> None:
        """Let the client be silent until the view's moments are what is waited for."""
        session = self.session
        room = self

        class Heard:
            def idle(self) -> float | None:
                later = session.idle()
                room.calls += 1
                if until(later):
                    os.write(room.client, b"a NOOP\r\n")
                return later

        self.driver._session = Heard()  # type: ignore[assignment]
        assert self.driver.read(60) == b"a NOOP\r\n"

    def known(self, kind: bytes) -> list[int]:
        view = self.session.selected()
        values = view.index.values(kind, view.uids)
        return [uid for uid, value in zip(view.uids, values, strict=True) if value is not None]


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    monkeypatch.setattr(serve, "REST_SECONDS", 0.001)
    for part in ("cur", "new", "tmp"):
        (tmp_path / part).mkdir()
    for number in range(1, COUNT + 1):
        path = tmp_path / "cur" / f"{number}.a.h:2,S"
        path.write_bytes(b"Subject: s%d\nX-Odd: %d\n\ntext\n" % (number, number))
    for part in ("cur", "new"):
        os.utime(tmp_path / part, (1_000_000_000, 1_000_000_000))
    made = Room(tmp_path)
    yield made
    made.session.selected().index.close()
    os.close(made.source)
    os.close(made.client)


def test_what_was_asked_of_one_message_is_filled_for_all(room: Room) -> None:
    room.fetch(b"1 (ENVELOPE RFC822.SIZE)")
    room.silence()
    assert room.known(b"ENVELOPE") == room.known(b"RFC822.SIZE") == list(range(1, COUNT + 1))
    assert room.known(b"BODYSTRUCTURE") == []
    made = room.fetch(b"1:* ENVELOPE")
    assert made.count(b'"s') == COUNT
    assert b'* 299 FETCH (ENVELOPE (NIL "s299" ' in made


def test_the_newest_are_first_and_a_client_is_answered_meanwhile(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "SLICE_SECONDS", 0)
    room.fetch(b"1 ENVELOPE")
    room.silence(lambda _: len(room.known(b"ENVELOPE")) >= 10)
    assert room.known(b"ENVELOPE") == [1, *range(COUNT - 8, COUNT + 1)]
    assert b'"s150"' in room.fetch(b"150 ENVELOPE")
    room.silence()
    assert len(room.known(b"ENVELOPE")) == COUNT


def test_when_all_is_filled_the_session_waits_and_does_nothing_else(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.fetch(b"1 ENVELOPE")
    room.silence()
    room.calls = 0
    room.silence()
    assert room.calls == 1
    waits: list[float] = []
    poll = select.poll

    class Silent:
        """The client stays silent for as long as is waited for it."""

        def __init__(self) -> None:
            self.register = poll().register

        def poll(self, milliseconds: float) -> list[object]:
            waits.append(milliseconds)
            return []

    monkeypatch.setattr(select, "poll", Silent)
    with pytest.raises(serve.TimedOut):
        room.driver.read(60)
    assert len(waits) == 2
    assert waits[1] > 59_000


def test_no_session_looks_again_for_what_another_has_filled(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.fetch(b"1 ENVELOPE")
    room.silence()
    room.session.selected().index.close()
    monkeypatch.setattr(filling, "Message", None)
    monkeypatch.setattr(filling.Filling, "_lacking", None)
    room.session = room.another()
    room.fetch(b"1 ENVELOPE")
    room.silence()


def test_messages_that_came_are_filled_too(room: Room) -> None:
    room.fetch(b"1 ENVELOPE")
    room.silence()
    (room.path / "new" / "301.a.h").write_bytes(b"Subject: new\n\n")
    assert b"".join(room.session.selected().changes()).startswith(b"* 301 EXISTS\r\n")
    room.silence(lambda _: 301 in room.known(b"ENVELOPE"))


def test_a_message_that_cannot_be_read_is_tried_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = room.path / "cur/7.a.h:2,S"
    odd.unlink()
    odd.mkdir()
    (room.path / "cur/9.a.h:2,S").rename(room.path / "cur/9.a.h:2,FS")
    opened = []
    message = filling.Message

    def noted(view: View, index: int) -> object:
        opened.append(index + 1)
        return message(view, index)

    monkeypatch.setattr(filling, "Message", noted)
    room.fetch(b"1 ENVELOPE")
    room.silence()
    room.silence()
    assert sorted(opened) == list(range(2, COUNT + 1))
    assert room.known(b"ENVELOPE") == [uid for uid in range(1, COUNT + 1) if uid not in (7, 9)]


def test_kinds_that_come_later_are_filled(room: Room) -> None:
    room.fetch(b"1 ENVELOPE")
    room.silence()
    room.fetch(b"1:20 BODY.PEEK[HEADER.FIELDS (X-Odd)]")
    room.silence()
    assert len(room.known(b'BODY[HEADER.FIELDS ("X-Odd")]')) == COUNT


def test_nothing_is_filled_where_there_is_no_index(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAP_INDEX", "off")
    monkeypatch.setattr(filling, "Message", None)
    room.session = room.another()
    room.fetch(b"1 ENVELOPE")
    room.silence()
